// pages-fetch: post-copy, on the target. Starts criu's lazy-pages daemon as its child, and carries its questions to the source and the pages back. From the resume on the workload depends
// on both of them: so they are processes of their own, which outlive their agent, and what became of it they leave in a file.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "commands.h"
#include "options.h"
#include "outlive.h"
#include "relay.h"
#include "report.h"
#include "wire.h"

// A daemon that has all its pages when the source goes ends by itself, within this time.
enum { settle_ms = 3000, look_ms = 200 };

static const char *status_path, *procs_path;
static pid_t daemon_pid;
static int has_ended, daemon_code;

static int is_daemon_there(void) {
  int status;
  if (!has_ended && waitpid(daemon_pid, &status, WNOHANG) == daemon_pid) {
    has_ended = 1;
    daemon_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  return !has_ended;
}

static int is_daemon_there_after(int ms) {
  for (; is_daemon_there() && ms > 0; ms -= look_ms) usleep(look_ms * 1000);
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

// Has the workload gone from this host? Its cgroup is empty then, or is not there.
static int is_workload_there(void) {
  char byte;
  int fd = open(procs_path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return errno != ENOENT && errno != ENODEV;
  ssize_t got = read(fd, &byte, 1);
  close(fd);
  return got > 0 || (got < 0 && errno != ENODEV);
}

// Without the source, some pages will never come. Were the daemon to end, whoever touches one of them would find zeros there and go on with them: so it stays, and whoever needs
// such a page waits, until somebody has decided what becomes of the workload.
static _Noreturn void hold_still(void) {
  tell("{\"event\":\"failed\",\"reason\":\"the connection to the source ended before every page was here; whoever needs one that is missing waits\"}");
  while (is_daemon_there() && is_workload_there()) usleep(look_ms * 1000);
  kill(daemon_pid, SIGKILL);
  _exit(1);
}

// Any free port of the loopback.
static int listen_here(char *port, size_t size) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t length = sizeof address;
  int door = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (door < 0 || bind(door, (struct sockaddr *)&address, sizeof address) < 0 || listen(door, 1) < 0 || getsockname(door, (struct sockaddr *)&address, &length) < 0)
    fail(errno, "pages-fetch: no port for criu");
  snprintf(port, size, "%d", ntohs(address.sin_port));
  return door;
}

// Our agent says when the images are here. Its end before that is ours: nobody depends on us yet.
static void await_word(void) {
  char word;
  ssize_t got;
  while ((got = read(STDIN_FILENO, &word, 1)) < 0 && errno == EINTR) continue;
  if (got <= 0) _exit(0);
}

static void start_daemon(char **command, char *port) {
  for (char **word = command; *word; word++)
    if (strcmp(*word, "@PORT") == 0) *word = port;
  daemon_pid = fork();
  if (daemon_pid < 0) fail(errno, "pages-fetch: fork");
  if (daemon_pid > 0) return;
  int nothing = open("/dev/null", O_RDWR);
  for (int fd = 0; fd < 3; fd++) dup2(nothing, fd);
  execvp(command[0], command);
  _exit(127);
}

// The daemon comes when criu restore has handed it every process; from then on the workload needs us. -1: it will not come.
static int await_daemon(int door) {
  struct pollfd at[2] = {{.fd = door, .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};
  while (is_daemon_there()) {
    char ignored[64];
    if (poll(at, 2, look_ms) < 0 && errno != EINTR) return -1;
    if (at[0].revents) return accept4(door, NULL, NULL, SOCK_CLOEXEC);
    if (at[1].revents && read(STDIN_FILENO, ignored, sizeof ignored) <= 0) return -1;
  }
  return -1;
}

int pages_fetch_command(int argc, char **argv) {
  long long data = -1;
  const struct option_spec specs[] = {
      {.name = "status", .text = &status_path, .is_required = 1},
      {.name = "procs", .text = &procs_path, .is_required = 1},
      {.name = "data-fd", .number = &data, .min = 3, .max = 1023, .is_required = 1},
  };
  int rest = parse_options("pages-fetch", argc, argv, specs, sizeof specs / sizeof *specs);
  if (rest >= argc) usage_error("pages-fetch: no command after --%s", "");
  if (*status_path != '/') usage_error("pages-fetch: --status must be an absolute path%s", "");
  unlink(status_path);
  fcntl((int)data, F_SETFD, FD_CLOEXEC);
  protect_from_oom();
  char port[8];
  const char *reason;
  struct wire wire;
  if (wire_open(&wire, (int)data, 1, &reason) < 0) fail(0, "pages-fetch: %s", reason);
  relay_notice_silence(wire.connection);
  await_word();
  setpriority(PRIO_PROCESS, 0, -10); // the workload waits for us
  int door = listen_here(port, sizeof port), on = 1;
  start_daemon(argv + rest, port);
  int local = await_daemon(door);
  close(door);
  if (local < 0) {
    if (is_daemon_there()) kill(daemon_pid, SIGKILL);
    tell_failure("criu lazy-pages did not begin, code", daemon_code);
    return 1;
  }
  setsockopt(local, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  say(STDOUT_FILENO, "{\"event\":\"fetching\"}");
  enum relay_end end = relay(wire.tls, wire.connection, local);
  if (end != RELAY_HERE && is_daemon_there_after(settle_ms)) hold_still();
  if (end == RELAY_HERE) {
    close(local);
    while (is_daemon_there()) usleep(5000);
  }
  if (daemon_code == 0) tell("{\"event\":\"fetched\"}");
  else tell_failure("criu lazy-pages ended with code", daemon_code);
  if (end == RELAY_HERE) relay_goodbye(wire.tls, wire.connection);
  return daemon_code != 0;
}
