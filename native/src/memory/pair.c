#include "pair.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "report.h"

// A new network's loopback is down.
static int raise_loopback(int any_socket) {
  struct ifreq loopback = {.ifr_name = "lo", .ifr_flags = IFF_UP};
  return ioctl(any_socket, SIOCSIFFLAGS, &loopback);
}

static int join_here(int pair[2]) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t length = sizeof address;
  int on = 1, door = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  pair[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  pair[1] = -1;
  if (door >= 0 && pair[0] >= 0 && raise_loopback(door) == 0 && bind(door, (struct sockaddr *)&address, sizeof address) == 0 && listen(door, 1) == 0 &&
      getsockname(door, (struct sockaddr *)&address, &length) == 0 && connect(pair[0], (struct sockaddr *)&address, sizeof address) == 0)
    pair[1] = accept4(door, NULL, NULL, SOCK_CLOEXEC);
  int error = errno;
  if (door >= 0) close(door);
  if (pair[1] < 0 && pair[0] >= 0) close(pair[0]);
  if (pair[1] < 0) return errno = error, -1;
  setsockopt(pair[0], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); // of the other end criu takes care itself
  return 0;
}

int pair_open(int pair[2]) {
  int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
  if (home < 0) return -1;
  if (unshare(CLONE_NEWNET) < 0) {
    int error = errno;
    close(home);
    return errno = error, -1;
  }
  int result = join_here(pair), error = errno;
  if (setns(home, CLONE_NEWNET) < 0) fail(errno, "a pair of sockets: there is no way back to this host's network");
  close(home);
  return errno = error, result;
}
