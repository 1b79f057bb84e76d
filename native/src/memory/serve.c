// pages-serve: post-copy, on the source. Joins the target's connection to criu's page server on this host's loopback, for as long as criu lives. It is a process of its own, since
// from the resume on the workload needs these pages: its agent may end at any time. While that lives, it may bring another connection where one is lost.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "commands.h"
#include "options.h"
#include "outlive.h"
#include "relay.h"
#include "report.h"
#include "wire.h"

// Nothing may be on its way to the target that is not remembered: twice what relay_prepare lets the kernel keep, at both ends.
enum { answers_bytes = 32 << 20 };

// Until the target asks for its first page: criu's page server takes one connection, and only when its images are written. 1: it asks; 0: there is nothing to wait for.
static int await_question(int connection, int criu) {
  for (;;) {
    struct pollfd at[2] = {{.fd = connection, .events = POLLIN}, {.fd = criu, .events = POLLIN}};
    if (poll(at, 2, -1) < 0 && errno != EINTR) return 0;
    if (at[1].revents) return 0;
    if (at[0].revents) return 1;
  }
}

static int connect_to_criu(int port) {
  struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
  int local = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
  if (local < 0 || connect(local, (struct sockaddr *)&server, sizeof server) < 0) fail(errno, "pages-serve: criu's page server");
  setsockopt(local, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return local;
}

// Until our agent has something, or has ended. 0: there is nothing to wait for.
static int await_offer(int data, int criu) {
  struct pollfd at[2] = {{.fd = data, .events = POLLIN}, {.fd = criu, .events = POLLIN}};
  while (poll(at, 2, -1) < 0 && errno == EINTR) continue;
  return !at[1].revents;
}

int pages_serve_command(int argc, char **argv) {
  long long port = 0, pid = 0, data = -1;
  const struct option_spec specs[] = {
      {.name = "port", .number = &port, .min = 1, .max = 65535, .is_required = 1},
      {.name = "criu", .number = &pid, .min = 2, .max = 1 << 30, .is_required = 1},
      {.name = "data-fd", .number = &data, .min = 3, .max = 1023, .is_required = 1},
  };
  parse_options("pages-serve", argc, argv, specs, sizeof specs / sizeof *specs);
  // By descriptor: a later process with this number is never meant.
  int criu = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
  if (criu < 0) fail(errno, "pages-serve: --criu %lld", pid);
  fcntl((int)data, F_SETFD, FD_CLOEXEC);
  protect_from_oom();
  const char *reason;
  struct wire wire;
  struct relay_memory *answers = relay_remember(answers_bytes);
  if (!answers) fail(errno, "pages-serve");
  for (int local = -1;;) {
    // Without an agent nobody brings a connection: before the first one nobody depends on us, after it there is no way any more.
    if (!await_offer((int)data, criu) || wire_accept(&wire, (int)data, &reason) < 0) return local >= 0;
    if (!wire.tls) fail(0, "pages-serve: %s", "the connection was not handed over");
    relay_prepare(wire.tls, wire.connection);
    if (!await_question(wire.connection, criu)) return 0;
    if (local < 0) {
      setpriority(PRIO_PROCESS, 0, -10); // the workload waits for us
      local = connect_to_criu((int)port);
      if (relay_begin(answers, local) < 0) fail(errno, "pages-serve");
    }
    enum relay_end end = relay(wire.tls, wire.connection, local, answers, (int)data);
    if (end == RELAY_HERE) relay_goodbye(wire.tls, wire.connection);
    if (end != RELAY_LOST) return end == RELAY_GAP;
    tls_close(wire.tls);
  }
}
