// pages-serve: post-copy, on the source. Gives criu the socket on which it will serve pages, and joins the target's connection to the other end, for as long as criu lives. It is a process of
// its own, since from the resume on the workload needs these pages: its agent may end at any time. While that lives, it may bring another connection where one is lost, or who served it was
// killed: it is two processes, of which the first only stands by.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "commands.h"
#include "fdpass.h"
#include "options.h"
#include "outlive.h"
#include "pair.h"
#include "relay.h"
#include "report.h"
#include "wire.h"

// Nothing may be on its way to the target that is not remembered: twice what relay_prepare lets the kernel keep, at both ends.
enum { answers_bytes = 32 << 20 };
static struct relay_memory *answers;

// Until the target asks for its first page: criu answers only when its images are written. 1: it asks; 0: there is nothing to wait for.
static int await_question(int connection, int criu) {
  for (;;) {
    struct pollfd at[2] = {{.fd = connection, .events = POLLIN}, {.fd = criu, .events = POLLIN}};
    if (poll(at, 2, -1) < 0 && errno != EINTR) return 0;
    if (at[1].revents) return 0;
    if (at[0].revents) return 1;
  }
}

// Until our agent has something, or has ended. 0: there is nothing to wait for.
static int await_offer(int data, int criu) {
  struct pollfd at[2] = {{.fd = data, .events = POLLIN}, {.fd = criu, .events = POLLIN}};
  while (poll(at, 2, -1) < 0 && errno == EINTR) continue;
  return !at[1].revents;
}

// How who serves has ended: its exit code.
enum ending { SERVED = 0, FAILED = 1, AGENT_CARRIES = 2 };

// The work itself.
static enum ending serve(int data, int criu, int local) {
  const char *reason;
  struct wire wire;
  for (;;) {
    // Without an agent nobody brings a connection: before the first one nobody depends on us, after it there is no way any more.
    if (!await_offer(data, criu) || wire_accept(&wire, data, &reason) < 0) return relay_has_begun(answers) ? FAILED : SERVED;
    if (wire.tls) relay_prepare(wire.tls, wire.connection);
    if (!await_question(wire.tls ? wire.connection : data, criu)) return SERVED;
    if (!wire.tls) return AGENT_CARRIES;
    setpriority(PRIO_PROCESS, 0, -10); // the workload waits for us
    // Once. Whoever was killed on the way has said nothing yet, so it is as if it began here.
    if (relay_begin(answers, local) < 0) fail(errno, "pages-serve");
    enum relay_end end = relay(wire.tls, wire.connection, local, answers, data);
    if (end == RELAY_HERE) relay_goodbye(wire.tls, wire.connection);
    if (end != RELAY_LOST) return end == RELAY_GAP ? FAILED : SERVED;
    tls_close(wire.tls);
  }
}

// Keeps the connection to criu, which takes no other one, and what it said last: when who serves them is killed, another one does, with the next connection.
static int stand_by(int data, int criu, int local) {
  int status;
  do {
    pid_t server = fork();
    if (server < 0) fail(errno, "pages-serve: fork");
    if (server == 0) _exit(serve(data, criu, local));
    while (waitpid(server, &status, 0) < 0 && errno == EINTR) continue;
  } while (!WIFEXITED(status));
  // Not by a child: of what it had read when it was killed, nobody would know.
  if (WEXITSTATUS(status) == AGENT_CARRIES) return relay_plain(data, local), SERVED;
  return WEXITSTATUS(status);
}

// Gives criu its end, through who waits for it to become criu (launch.c). Ours.
static int join_criu(int line) {
  int pair[2];
  if (pair_open(pair) < 0) fail(errno, "pages-serve: a connection to criu");
  if (send_fd(line, pair[1], 0) < 0) fail(errno, "pages-serve: criu does not take its end of the connection");
  close(pair[1]); // criu's end is told to us only when nobody else holds it
  close(line);
  return pair[0];
}

int pages_serve_command(int argc, char **argv) {
  long long pid = 0, data = -1, line = -1;
  const struct option_spec specs[] = {
      {.name = "criu", .number = &pid, .min = 2, .max = 1 << 30, .is_required = 1},
      {.name = "data-fd", .number = &data, .min = 3, .max = 1023, .is_required = 1},
      {.name = "criu-fd", .number = &line, .min = 3, .max = 1023, .is_required = 1},
  };
  parse_options("pages-serve", argc, argv, specs, sizeof specs / sizeof *specs);
  // By descriptor: a later process with this number is never meant.
  int criu = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
  if (criu < 0) fail(errno, "pages-serve: --criu %lld", pid);
  fcntl((int)data, F_SETFD, FD_CLOEXEC);
  protect_from_oom();
  if (!(answers = relay_remember(answers_bytes))) fail(errno, "pages-serve");
  return stand_by((int)data, criu, join_criu((int)line));
}
