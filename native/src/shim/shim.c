// The parent that a workload needs when its agent comes and goes: owns the workload's stdout and stderr, writes them to a rotating log,
// reaps, and leaves the exit code in a file. Three processes: the front one is the command that the caller waits for; it ends when the
// workload is launched, and nothing of the caller is held open after it. The back one stays until the workload's init has ended, and its
// parent stands by for the case that it is killed. SIGKILL of the front one before the launch (a caller's deadline) kills everything that was started.
#include "shim/shim.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "commands.h"
#include "options.h"
#include "report.h"

static _Noreturn void back(struct shim *shim, char **command) {
  setsid();
  prctl(PR_SET_NAME, "aether-shim");
  if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0) fail(errno, "shim: subreaper");
  const int ignored[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGUSR1, SIGUSR2};
  for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++) signal(ignored[i], SIG_IGN);
  sigset_t children;
  sigemptyset(&children);
  sigaddset(&children, SIGCHLD);
  sigprocmask(SIG_BLOCK, &children, NULL);
  shim->children = signalfd(-1, &children, SFD_NONBLOCK | SFD_CLOEXEC);
  if (shim->children < 0) fail(errno, "shim: signalfd");
  shim = shim_pair(shim);
  if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0) fail(errno, "shim: subreaper"); // not inherited
  shim_launch(shim, command);
  shim_stay(shim);
}

// First byte: the exit code; the rest: the line for the caller.
static int front(int from_back) {
  static char bytes[32768];
  unsigned char code = 1;
  size_t size = 0;
  ssize_t got;
  while ((got = read(from_back, bytes + size, sizeof bytes - size)) != 0) {
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail(errno, "shim: reading the launch");
    size += (size_t)got;
  }
  if (size == 0) fail(0, "shim: ended before the launch");
  code = (unsigned char)bytes[0];
  if (write_all(STDOUT_FILENO, bytes + 1, size - 1) < 0 && errno != EPIPE) fail(errno, "shim: cannot write the launch");
  return code;
}

int shim_command(int argc, char **argv) {
  struct shim shim = {.front = -1, .partner = -1};
  const char *log = NULL;
  long long max_log_bytes = 0;
  const struct option_spec specs[] = {
      {.name = "log", .text = &log, .is_required = 1},
      {.name = "max-log-bytes", .number = &max_log_bytes, .min = chunk_max, .max = 1LL << 40, .is_required = 1},
      {.name = "exit-file", .text = &shim.exit_file, .is_required = 1},
      {.name = "pid-file", .text = &shim.pid_file, .is_required = 1},
  };
  int rest = parse_options("shim", argc, argv, specs, sizeof specs / sizeof *specs);
  if (rest >= argc) usage_error("shim: no command after --");
  if (*log != '/' || *shim.exit_file != '/' || *shim.pid_file != '/') usage_error("shim: --log, --exit-file and --pid-file must be absolute paths");

  note_inherited();
  if (logfile_open(&shim.output.log, log, max_log_bytes) < 0) fail(errno, "shim: --log %s", log);
  if (unlink(shim.pid_file) < 0 && errno != ENOENT) fail(errno, "shim: --pid-file %s", shim.pid_file); // criu refuses one that exists
  if (unlink(shim.exit_file) < 0 && errno != ENOENT) fail(errno, "shim: --exit-file %s", shim.exit_file);
  output_open(&shim.output);
  int line[2];
  if (pipe2(line, O_CLOEXEC) < 0) fail(errno, "shim: pipe");
  int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (nothing < 0) fail(errno, "shim: /dev/null");

  pid_t pid = fork();
  if (pid < 0) fail(errno, "shim: fork");
  if (pid == 0) {
    shim.front = line[1];
    close(line[0]);
    dup2(nothing, STDIN_FILENO);
    dup2(nothing, STDOUT_FILENO);
    back(&shim, argv + rest);
  }
  close(line[1]);
  output_close(&shim.output);
  close_inherited();
  return front(line[0]);
}
