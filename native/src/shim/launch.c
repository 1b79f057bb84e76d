// From nothing to a workload that runs: COMMAND (runc, criu) starts it, says where its init is, and ends.
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "report.h"
#include "shim/shim.h"

static _Noreturn void become_command(const struct shim *shim, char **command) {
  setpgid(0, 0);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  for (int number = 1; number < NSIG; number++) signal(number, SIG_DFL);
  output_place(&shim->output);
  execvp(command[0], command);
  int error = errno;
  dprintf(STDERR_FILENO, "aether-native shim: cannot run %s: %s\n", command[0], strerror(error));
  _exit(error == ENOENT ? 127 : 126);
}

// Returns COMMAND's exit code, or -1 when the front process was killed meanwhile.
static int run(struct shim *shim, char **command) {
  pid_t pid = fork();
  if (pid < 0) fail(errno, "shim: fork");
  if (pid == 0) become_command(shim, command);
  shim->command = pid;
  output_close_writers(&shim->output);
  close_inherited();
  if (chdir("/") < 0) fail(errno, "shim: /"); // a folder that is not held can be unmounted
  for (;;) {
    int status;
    // Only COMMAND is reaped here: the workload's init may have ended too, and its exit code must still be there when its pid is known.
    if (waitpid(pid, &status, WNOHANG) == pid) {
      for (int i = 0; i < 16; i++) output_copy(&shim->output, 1); // what COMMAND wrote before it ended; a workload that writes for ever must not keep us here
      return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    if (!shim_wait(shim, -1, 1, -1)) {
      kill_descendants(pid);
      return -1;
    }
    output_copy(&shim->output, 1);
  }
}

static unsigned long long inode_of(int fd) {
  struct stat status;
  return fstat(fd, &status) < 0 ? 0 : (unsigned long long)status.st_ino;
}

void shim_launch(struct shim *shim, char **command) {
  struct output *output = &shim->output;
  unsigned long long out_inode = inode_of(output->out[0]), err_inode = inode_of(output->err[0]);
  int code = run(shim, command);
  if (code < 0) shim_end(shim, 1);
  if (code == 0 && init_read(&shim->init, shim->pid_file) < 0) {
    code = 1;
    char note[256];
    int size = snprintf(note, sizeof note, "aether-native shim: the command left no pid in %.200s\n", shim->pid_file);
    output_remember(output, note, (size_t)size < sizeof note ? (size_t)size : sizeof note - 1);
  }
  shim->is_launched = code == 0;
  static char escaped[tail_max * 6];
  size_t size = shim->is_launched ? 0 : json_escape(output->tail, output->tail_size, escaped, sizeof escaped);
  say(shim->front, "%c{\"event\":\"%s\",\"code\":%d,\"pid\":%d,\"shimPid\":%d,\"stdoutInode\":%llu,\"stderrInode\":%llu,\"stderr\":\"%.*s\"}", code,
      shim->is_launched ? "launched" : "failed", code, shim->is_launched ? shim->init.pid : 0, shim->is_launched ? getpid() : 0, out_inode,
      err_inode, (int)size, escaped);
  if (!shim->is_launched) shim_end(shim, 1);
}
