// pages-fetch: post-copy, on the target. Starts criu's lazy-pages daemon as its child, and carries its questions to the source and the pages back. From the resume on the workload depends
// on both of them: so they are processes of their own, which outlive their agent, and what became of it they leave in a file.
// A third one, their parent, only holds what they hold: the daemon's connection, its userfaultfds, and its last questions. Whichever of the three is killed, nobody finds zeros where pages
// are missing; and when it is the one that carries, or its connection is lost, another one goes on where it ended.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
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
#include "spare.h"
#include "wire.h"

// A daemon that has all its pages when the source goes ends by itself, within this time.
enum { settle_ms = 3000, look_ms = 200 };
// What the daemon has closed, the watcher closes so much later; who touches a page there that never held anything waits as long.
enum { spare_look_ms = 5 };
// Far more questions than there are threads to ask them.
enum { questions_bytes = 1 << 20 };

// How one that carries has ended: its exit code. The first two are said already.
enum ending { FETCHED = 0, FAILED = 1, LOST = 3, PEER_LEFT = 4, DAEMON_LEFT = 5, GAP = 6 };

static const char *status_path, *procs_path;
static struct relay_memory *questions;
static pid_t daemon_pid;
static long long is_handed; // the way of the pages is a connection of our own
static int daemon_pidfd = -1, has_ended, daemon_code, is_watcher;

// Known to its parent alone: the first that carries, or whoever stands by when that one has ended. Others find that it has ended, not how.
static int is_daemon_there(void) {
  int status;
  struct pollfd end = {.fd = daemon_pidfd, .events = POLLIN};
  if (has_ended || poll(&end, 1, 0) == 0) return !has_ended;
  has_ended = 1;
  int is_ours = waitpid(daemon_pid, &status, 0) == daemon_pid;
  daemon_code = !is_ours ? -1 : WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return 0;
}

static void pass(int ms) {
  if (!is_watcher) usleep((useconds_t)ms * 1000);
  for (; is_watcher && ms > 0; ms -= spare_look_ms) {
    spare_look(daemon_pid, daemon_pidfd);
    usleep(spare_look_ms * 1000);
  }
}

static int is_daemon_there_after(int ms) {
  for (; is_daemon_there() && ms > 0; ms -= look_ms) pass(look_ms);
  return !has_ended;
}

static void tell(const char *text) {
  char line[256];
  snprintf(line, sizeof line, "%s\n", text);
  write_status(status_path, line);
  say(STDOUT_FILENO, "%s", text);
}

static void tell_failure(const char *what, int code) {
  char text[200];
  snprintf(text, sizeof text, "{\"event\":\"failed\",\"reason\":\"%s %d\"}", what, code);
  tell(text);
}

static enum ending tell_end(void) {
  if (daemon_code == 0) tell("{\"event\":\"fetched\"}");
  else tell_failure("criu lazy-pages ended with code", daemon_code);
  return daemon_code == 0 ? FETCHED : FAILED;
}

// Has the workload gone from this host? Its cgroup is empty then, or is not there.
static int is_workload_there(void) {
  char byte;
  int fd = open(procs_path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return errno != ENOENT && errno != ENODEV;
  ssize_t got = read(fd, &byte, 1);
  close(fd);
  return got > 0 || (got < 0 && errno != ENODEV);
}

static void end_daemon(void) {
  if (daemon_pidfd >= 0) syscall(SYS_pidfd_send_signal, daemon_pidfd, SIGKILL, NULL, 0);
}

// Some pages will never come. Were the daemon to end, or its userfaultfds to be closed, whoever touches one of them would find zeros there and go on with them: so they stay, and whoever
// needs such a page waits, until somebody has decided what becomes of the workload.
static _Noreturn void hold_still(void) {
  while ((is_watcher || is_daemon_there()) && is_workload_there()) pass(look_ms);
  end_daemon();
  _exit(FAILED);
}

static enum ending tell_loss(void) {
  tell("{\"event\":\"failed\",\"reason\":\"the connection to the source ended before every page was here; whoever needs one that is missing waits\"}");
  return FAILED;
}

// Our agent says when the images are here. Its end before that is ours: nobody depends on us yet.
static void await_word(void) {
  char word;
  ssize_t got;
  while ((got = read(STDIN_FILENO, &word, 1)) < 0 && errno == EINTR) continue;
  if (got <= 0) _exit(FETCHED);
}

// `its_end`: the number of the descriptor on which it asks for pages goes in the place of @PAGES.
static void start_daemon(char **command, int its_end) {
  char number[16];
  snprintf(number, sizeof number, "%d", its_end);
  for (char **word = command; *word; word++)
    if (strcmp(*word, "@PAGES") == 0) *word = number;
  daemon_pid = fork();
  if (daemon_pid < 0) fail(errno, "pages-fetch: fork");
  if (daemon_pid > 0) {
    daemon_pidfd = (int)syscall(SYS_pidfd_open, daemon_pid, 0);
    if (daemon_pidfd < 0) fail(errno, "pages-fetch: pidfd_open");
    close(its_end); // it is told to us only when nobody else holds it
    return;
  }
  fcntl(its_end, F_SETFD, 0);
  int nothing = open("/dev/null", O_RDWR);
  for (int fd = 0; fd < 3; fd++) dup2(nothing, fd);
  execvp(command[0], command);
  _exit(127);
}

// The daemon asks for a page when criu restore has handed it every process; from then on the workload needs us. 0: it will not ask.
static int await_question(int local) {
  struct pollfd at[2] = {{.fd = local, .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};
  while (is_daemon_there()) {
    char ignored[64];
    if (poll(at, 2, look_ms) < 0 && errno != EINTR) return 0;
    if (at[0].revents) return 1;
    if (at[1].revents && read(STDIN_FILENO, ignored, sizeof ignored) <= 0) return 0;
  }
  return 0;
}

static enum ending carry(struct wire *wire, int local) {
  if (wire->tls) relay_prepare(wire->tls, wire->connection);
  setpriority(PRIO_PROCESS, 0, -10); // the workload waits for us
  switch (wire->tls ? relay(wire->tls, wire->connection, local, questions, -1) : relay_plain(wire->data, local)) {
  case RELAY_HERE: return DAEMON_LEFT;
  case RELAY_PEER: return PEER_LEFT;
  case RELAY_GAP: return GAP;
  default: return LOST;
  }
}

static void say_goodbye(struct wire *wire) {
  if (wire->tls) relay_goodbye(wire->tls, wire->connection);
}

static pid_t start_another(int local, int data) {
  pid_t pid = fork();
  if (pid != 0) return pid;
  const char *reason;
  struct wire wire;
  if (wire_open(&wire, data, 1, &reason) < 0) {
    say(STDOUT_FILENO, "{\"event\":\"note\",\"reason\":\"%s\"}", reason);
    _exit(LOST);
  }
  enum ending how = carry(&wire, local);
  if (how == DAEMON_LEFT) say_goodbye(&wire);
  _exit(how);
}

static enum ending await_end(pid_t carrier) {
  int status;
  for (pid_t ended; (ended = waitpid(carrier, &status, WNOHANG)) != carrier; pass(spare_look_ms))
    if (ended < 0 && errno != EINTR) return LOST;
  return WIFEXITED(status) ? (enum ending)WEXITSTATUS(status) : LOST;
}

// Whether our agent has offered another connection: it does as long as it lives and the source answers. Not where it carries itself: of what was on its way nobody knows.
static int is_offered(int data) {
  char first;
  if (!is_handed) return 0;
  say(STDOUT_FILENO, "{\"event\":\"lost\"}");
  for (; is_daemon_there() && is_workload_there(); pass(spare_look_ms)) {
    ssize_t got = recv(data, &first, 1, MSG_PEEK | MSG_DONTWAIT);
    if (got > 0) return 1;
    if (got == 0 || (errno != EAGAIN && errno != EINTR)) return 0;
  }
  return 0;
}

// The process that was started first, while its child does the work.
static _Noreturn void stand_by(pid_t carrier, int line, int data) {
  int ignored, status;
  prctl(PR_SET_CHILD_SUBREAPER, 1); // whose parent has ended is ours: so the daemon always has one that knows how it ends
  daemon_pidfd = receive_fd(line, &daemon_pid);
  int local = daemon_pidfd < 0 ? -1 : receive_fd(line, &ignored);
  if (local < 0) { // nobody depends on it yet
    waitpid(carrier, &status, 0);
    if (WIFSIGNALED(status)) tell_failure("who fetches the pages was killed by signal", WTERMSIG(status));
    end_daemon();
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : FAILED);
  }
  is_watcher = 1;
  spare_look(daemon_pid, daemon_pidfd);
  send(line, "k", 1, MSG_NOSIGNAL);
  enum ending how = await_end(carrier);
  while (how != FETCHED && how != FAILED) {
    if (how == DAEMON_LEFT || (how == PEER_LEFT && !is_daemon_there_after(settle_ms))) {
      while (is_daemon_there()) pass(spare_look_ms);
      how = tell_end();
    } else if (how != GAP && is_offered(data)) how = await_end(start_another(local, data));
    else how = is_daemon_there() ? tell_loss() : tell_end();
  }
  if (how == FETCHED) _exit(FETCHED);
  hold_still();
}

// Starts the process that does the work, as our child. Goes on there; its end of the line to who stands by.
static int divide(int data) {
  int line[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, line) < 0) fail(errno, "pages-fetch");
  pid_t carrier = fork();
  if (carrier < 0) fail(errno, "pages-fetch: fork");
  if (carrier > 0) {
    close(line[1]);
    stand_by(carrier, line[0], data);
  }
  close(line[0]);
  return line[1];
}

int pages_fetch_command(int argc, char **argv) {
  long long data = -1;
  const struct option_spec specs[] = {
      {.name = "status", .text = &status_path, .is_required = 1},
      {.name = "procs", .text = &procs_path, .is_required = 1},
      {.name = "handed", .number = &is_handed, .min = 0, .max = 1},
      {.name = "data-fd", .number = &data, .min = 3, .max = 1023, .is_required = 1},
  };
  int rest = parse_options("pages-fetch", argc, argv, specs, sizeof specs / sizeof *specs);
  if (rest >= argc) usage_error("pages-fetch: no command after --%s", "");
  if (*status_path != '/') usage_error("pages-fetch: --status must be an absolute path%s", "");
  unlink(status_path);
  fcntl((int)data, F_SETFD, FD_CLOEXEC);
  protect_from_oom();
  if (!(questions = relay_remember(questions_bytes))) fail(errno, "pages-fetch");
  int line = divide((int)data);
  pid_t watcher = getppid();
  char word;
  const char *reason;
  struct wire wire;
  if (wire_open(&wire, (int)data, (int)is_handed, &reason) < 0) fail(0, "pages-fetch: %s", reason);
  if (wire.tls) relay_prepare(wire.tls, wire.connection);
  int pair[2];
  if (pair_open(pair) < 0) fail(errno, "pages-fetch: a connection to criu");
  int local = pair[0];
  await_word();
  start_daemon(argv + rest, pair[1]);
  send_fd(line, daemon_pidfd, daemon_pid);
  if (relay_begin(questions, local) < 0 || !await_question(local)) {
    end_daemon();
    tell_failure("criu lazy-pages did not begin, code", daemon_code);
    return FAILED;
  }
  if (send_fd(line, local, 0) < 0 || read(line, &word, 1) != 1) say(STDOUT_FILENO, "{\"event\":\"note\",\"reason\":\"nobody stands by\"}");
  say(STDOUT_FILENO, "{\"event\":\"fetching\"}");
  enum ending how = carry(&wire, local);
  if (how == DAEMON_LEFT) {
    close(local);
    while (is_daemon_there()) usleep(spare_look_ms * 1000);
    how = tell_end();
    say_goodbye(&wire);
    return how;
  }
  if (getppid() == watcher) return how;
  if (how == PEER_LEFT && !is_daemon_there_after(settle_ms)) return tell_end();
  tell_loss();
  hold_still();
}
