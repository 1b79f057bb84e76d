// The two processes of a shim between the launch and the workload's end. Who stands by has the same table of descriptors (CLONE_FILES) and the same
// state (a shared page), so the pipes are never without a reader: without one the workload's next line would end it (SIGPIPE). The init of a
// worker that was killed becomes the child of its parent, exit code included.
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "memory/outlive.h"
#include "report.h"
#include "shim/shim.h"

enum { drain_ms = 500 };

static void find_partner(struct shim *shim);

int shim_wait(struct shim *shim, int timeout_ms, int is_launching, int extra) {
  const struct output *output = &shim->output;
  struct pollfd at[] = {{.fd = output->out[0], .events = POLLIN},
                        {.fd = output->err[0], .events = POLLIN},
                        {.fd = shim->children, .events = POLLIN},
                        {.fd = extra, .events = POLLIN},
                        {.fd = is_launching ? shim->front : -1},
                        {.fd = is_launching ? -1 : shim->partner, .events = POLLIN}};
  const struct pollfd *front = &at[4], *partner = &at[5];
  if (poll(at, sizeof at / sizeof *at, timeout_ms) < 0 && errno != EINTR) fail(errno, "shim: poll");
  if (partner->revents & POLLIN) find_partner(shim);
  struct signalfd_siginfo ignored;
  while (read(shim->children, &ignored, sizeof ignored) > 0) continue;
  return !(front->revents & (POLLERR | POLLHUP));
}

static void watch(struct shim *shim) {
  struct init *init = &shim->init;
  struct output *output = &shim->output;
  while (!init_has_ended(init)) {
    shim_wait(shim, init->pidfd < 0 ? 1000 : -1, 0, init->pidfd);
    output_copy(output, 0);
  }
  // The rest of its output. Bounded: a stranger that holds a write end must not keep the exit code from its readers.
  long long end_ms = now_ms() + drain_ms;
  while ((output->out[0] >= 0 || output->err[0] >= 0) && now_ms() < end_ms) {
    shim_wait(shim, (int)(end_ms - now_ms()) + 1, 0, -1);
    output_copy(output, 0);
    init_has_ended(init);
  }
  init_write_exit(init, shim->exit_file);
}

static int pidfd_of(pid_t pid) { return (int)syscall(SYS_pidfd_open, pid, 0); }

static pid_t fork_sharing_descriptors(void) { return (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0); }

_Noreturn void shim_end(struct shim *shim, int code) {
  shim->is_over = 1;
  exit(code);
}

_Noreturn void shim_stay(struct shim *shim) {
  // The caller's own standard error was kept for our errors while it could still read them. Let go before the front ends: a caller that
  // waits for the end of its pipes must not wait for us.
  dup2(STDIN_FILENO, STDERR_FILENO);
  if (shim->front >= 0) close(shim->front);
  shim->front = -1;
  protect_from_oom(); // only now: what was started before must not inherit it
  watch(shim);
  shim_end(shim, 0);
}

static _Noreturn void stand_by(struct shim *shim, int worker) {
  prctl(PR_SET_NAME, "aether-shim-2");
  struct pollfd at = {.fd = worker, .events = POLLIN};
  while (poll(&at, 1, -1) < 0 && errno == EINTR) continue;
  close(worker);
  if (shim->is_over) exit(0);
  if (!shim->is_launched) {
    kill_descendants(shim->command);
    exit(1);
  }
  prctl(PR_SET_NAME, "aether-shim");
  struct logfile *log = &shim->output.log;
  logfile_open(log, log->path, log->max_bytes); // it may have been killed while it changed files
  find_partner(shim);
  shim_stay(shim);
}

// Who stood by has been killed, or has taken over: a child stands by from now on. To it the workload's init is a stranger, whose exit code it will not know.
static void find_partner(struct shim *shim) {
  if (shim->partner >= 0) close(shim->partner);
  int self = pidfd_of(getpid());
  pid_t pid = self < 0 ? -1 : fork_sharing_descriptors();
  if (pid == 0) stand_by(shim, self);
  if (pid < 0 && self >= 0) close(self);
  shim->partner = pid < 0 ? -1 : pidfd_of(pid);
}

struct shim *shim_pair(struct shim *alone) {
  struct shim *shim = mmap(NULL, sizeof *shim, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shim == MAP_FAILED) fail(errno, "shim: mmap");
  *shim = *alone;
  shim->partner = pidfd_of(getpid());
  if (shim->partner < 0) return shim; // before Linux 5.3 nobody stands by
  pid_t worker = fork_sharing_descriptors();
  if (worker < 0) fail(errno, "shim: fork");
  if (worker == 0) return shim;
  int fd = pidfd_of(worker);
  if (fd < 0) fail(errno, "shim: pidfd_open");
  protect_from_oom();
  stand_by(shim, fd);
}
