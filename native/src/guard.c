// Watches over a workload while its agent has stopped it: when the agent dies, or says nothing for too long, the workload runs again at once, with its
// network. The agent asks to be let go ("disarm") before it says to anybody that the workload is frozen; the answer to that is either
// "disarmed" or "fired", never both, so that nothing can be decided on a workload that this has let run.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "commands.h"
#include "mend.h"
#include "options.h"
#include "orphan.h"
#include "report.h"

enum { kill_wait_ms = 2000, command_wait_ms = 5000 };
static int is_group_at_work; // it does something to the workload: before that it waits for a word, and after it it may be killed at any moment too

static long long now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

// Waits for the end of the process group that dumps. A criu that is killed while it makes a task run its own code leaves an orphan, and one without our patches
// kills that task with it (SIGTRAP): so it is given its time, and only one that takes longer is killed.
static void end_group(int pidfd, pid_t leader, long long patience_ms) {
  struct pollfd at = {.fd = pidfd, .events = POLLIN};
  if (pidfd < 0 || poll(&at, 1, is_group_at_work ? (int)patience_ms : 0) > 0) return;
  kill(-leader, SIGKILL);
  syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
  poll(&at, 1, kill_wait_ms);
}

// Bounded: a command that hangs must not keep the workload frozen.
static void run(char **command) {
  pid_t pid = fork();
  if (pid == 0) {
    execv(command[0], command);
    _exit(127);
  }
  for (long long end_ms = now_ms() + command_wait_ms; pid > 0 && waitpid(pid, NULL, WNOHANG) == 0;) {
    if (now_ms() > end_ms) kill(pid, SIGKILL);
    poll(NULL, 0, 1);
  }
}

static void write_file(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0 || write(fd, text, strlen(text)) < 0) say(STDERR_FILENO, "{\"error\":\"guard: cannot write the freezer\",\"errno\":%d}", errno);
  if (fd >= 0) close(fd);
}

// One command from the agent. Returns 'p' (it lives), 'd' (disarm), 'w' (the group begins its work), 'g' (the group is done), 0 (nothing whole yet), -1 (its end).
static int listen_once(void) {
  static char line[16];
  static size_t length;
  char byte;
  ssize_t got;
  while ((got = read(STDIN_FILENO, &byte, 1)) < 0 && errno == EINTR) continue;
  if (got <= 0) return -1;
  if (byte != '\n') {
    if (length < sizeof line - 1) line[length++] = byte;
    return 0;
  }
  line[length] = '\0';
  length = 0;
  return strcmp(line, "disarm") == 0 ? 'd' : strcmp(line, "dumping") == 0 ? 'w' : strcmp(line, "done") == 0 ? 'g' : 'p';
}

int guard_command(int argc, char **argv) {
  const char *procs = NULL, *freezer = NULL, *thaw = NULL, *orphan = NULL;
  long long silence_ms = 0, leader = 0, patience_ms = 0;
  const struct option_spec specs[] = {
      {.name = "procs", .text = &procs, .is_required = 1},
      {.name = "freezer", .text = &freezer, .is_required = 1},
      {.name = "thaw", .text = &thaw, .is_required = 1},
      {.name = "silence-ms", .number = &silence_ms, .min = 100, .max = 600000, .is_required = 1},
      {.name = "group", .number = &leader, .min = 2, .max = 1 << 22},
      {.name = "orphan", .text = &orphan},
      {.name = "group-ms", .number = &patience_ms, .min = 0, .max = 3600000},
  };
  int rest = parse_options("guard", argc, argv, specs, sizeof specs / sizeof *specs);
  if (rest >= argc) usage_error("guard: no command after --%s", "");
  int pidfd = leader > 0 ? (int)syscall(SYS_pidfd_open, (pid_t)leader, 0) : -1;
  setsid();
  const int ignored[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};
  for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++) signal(ignored[i], SIG_IGN);
  say(STDOUT_FILENO, "{\"event\":\"armed\"}");

  long long end_ms = now_ms() + silence_ms;
  for (;;) {
    struct pollfd at = {.fd = STDIN_FILENO, .events = POLLIN};
    long long left_ms = end_ms - now_ms();
    int found = poll(&at, 1, left_ms > 0 ? (int)left_ms : 0);
    if (found < 0 && errno == EINTR) continue;
    int heard = found > 0 ? listen_once() : -1;
    if (heard == 'd') {
      say(STDOUT_FILENO, "{\"event\":\"disarmed\"}");
      return 0;
    }
    if (heard == 'w' || heard == 'g') is_group_at_work = heard == 'w';
    if (heard == 'p') end_ms = now_ms() + silence_ms;
    if (heard < 0) break;
  }
  end_group(pidfd, (pid_t)leader, patience_ms);
  mend_orphan(orphan, procs);
  mend_sockets(procs);
  run(argv + rest);
  write_file(freezer, thaw);
  say(STDOUT_FILENO, "{\"event\":\"fired\"}");
  return 0;
}
