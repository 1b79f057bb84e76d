// pages-serve: post-copy, on the source. Joins the target's connection to criu's page server on this host's loopback, for as long as criu lives. It is a process of its own, since
// from the resume on the workload needs these pages: its agent may end at any time. While that lives, it may bring another connection where one is lost, or who served it was killed: it is
// two processes, of which the first only stands by.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "commands.h"
#include "options.h"
#include "outlive.h"
#include "relay.h"
#include "report.h"
#include "wire.h"

// Nothing may be on its way to the target that is not remembered: twice what relay_prepare lets the kernel keep, at both ends.
enum { answers_bytes = 32 << 20 };
static struct relay_memory *answers;

// Until the target asks for its first page: criu's page server takes one connection, and only when its images are written. 1: it asks; 0: there is nothing to wait for.
static int await_question(int connection, int criu) {
  for (;;) {
    struct pollfd at[2] = {{.fd = connection, .events = POLLIN}, {.fd = criu, .events = POLLIN}};
    if (poll(at, 2, -1) < 0 && errno != EINTR) return 0;
    if (at[1].revents) return 0;
    if (at[0].revents) return 1;
  }
}

static int is_connected(int local) {
  struct sockaddr_in peer;
  socklen_t length = sizeof peer;
  return getpeername(local, (struct sockaddr *)&peer, &length) == 0;
}

// Once. Whoever was killed on the way has said nothing yet, so it is as if it began here.
static void connect_to_criu(int local, int port) {
  struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
  int on = 1;
  if (!is_connected(local) && connect(local, (struct sockaddr *)&server, sizeof server) < 0) fail(errno, "pages-serve: criu's page server");
  setsockopt(local, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (relay_begin(answers, local) < 0) fail(errno, "pages-serve");
}

// Until our agent has something, or has ended. 0: there is nothing to wait for.
static int await_offer(int data, int criu) {
  struct pollfd at[2] = {{.fd = data, .events = POLLIN}, {.fd = criu, .events = POLLIN}};
  while (poll(at, 2, -1) < 0 && errno == EINTR) continue;
  return !at[1].revents;
}

// The work itself, until its exit code.
static int serve(int data, int criu, int port, int local) {
  const char *reason;
  struct wire wire;
  for (;;) {
    // Without an agent nobody brings a connection: before the first one nobody depends on us, after it there is no way any more.
    if (!await_offer(data, criu) || wire_accept(&wire, data, &reason) < 0) return is_connected(local);
    if (!wire.tls) fail(0, "pages-serve: %s", "the connection was not handed over");
    relay_prepare(wire.tls, wire.connection);
    if (!await_question(wire.connection, criu)) return 0;
    setpriority(PRIO_PROCESS, 0, -10); // the workload waits for us
    connect_to_criu(local, port);
    enum relay_end end = relay(wire.tls, wire.connection, local, answers, data);
    if (end == RELAY_HERE) relay_goodbye(wire.tls, wire.connection);
    if (end != RELAY_LOST) return end == RELAY_GAP;
    tls_close(wire.tls);
  }
}

// Keeps the connection to criu, which takes no other one, and what it said last: when who serves them is killed, another one does, with the next connection.
static int stand_by(int data, int criu, int port) {
  int status, local = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (local < 0) fail(errno, "pages-serve");
  do {
    pid_t server = fork();
    if (server < 0) fail(errno, "pages-serve: fork");
    if (server == 0) _exit(serve(data, criu, port, local));
    while (waitpid(server, &status, 0) < 0 && errno == EINTR) continue;
  } while (!WIFEXITED(status));
  return WEXITSTATUS(status);
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
  if (!(answers = relay_remember(answers_bytes))) fail(errno, "pages-serve");
  return stand_by((int)data, criu, (int)port);
}
