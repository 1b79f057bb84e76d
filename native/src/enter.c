// Runs a command inside of a workload, with no more rights than the workload has. What it runs is a file that the workload may have written, so nothing of
// the host may come along: no capability that the workload lacks, no descriptor, no environment but the given one, and no way to the program that this is.
// This program is a static one, so that variables meant for the command (LD_PRELOAD) do nothing to it while it is still outside.
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "commands.h"
#include "options.h"
#include "process.h"
#include "report.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif

static const int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;

// A command may be a script whose interpreter is /proc/self/exe: then this program runs again, as one that the workload may look at, and its file could be
// opened and written to (CVE-2019-5736). So it goes on from a copy in memory that nobody can write to.
static void become_sealed_copy(char **argv) {
  int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  if (self < 0) fail(errno, "enter: /proc/self/exe");
  int have = fcntl(self, F_GET_SEALS);
  if (have >= 0 && (have & seals) == seals) {
    close(self);
    return;
  }
  int copy = memfd_create("aether-native", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
  if (copy < 0 && errno == EINVAL) copy = memfd_create("aether-native", MFD_CLOEXEC | MFD_ALLOW_SEALING); // a kernel before 6.3
  if (copy < 0) fail(errno, "enter: memfd_create");
  struct stat size;
  if (fstat(self, &size) < 0) fail(errno, "enter: /proc/self/exe");
  for (off_t left = size.st_size; left > 0;) {
    ssize_t sent = sendfile(copy, self, NULL, (size_t)left);
    if (sent <= 0) fail(sent < 0 ? errno : EIO, "enter: copying itself");
    left -= sent;
  }
  if (fcntl(copy, F_ADD_SEALS, seals) < 0) fail(errno, "enter: sealing its copy");
  extern char **environ;
  syscall(SYS_execveat, copy, "", argv, environ, AT_EMPTY_PATH);
  fail(errno, "enter: running its copy");
}

static void open_cgroups(const char *paths, int *fds, int *count, int room) {
  char *state = NULL, *copy = strdup(paths);
  for (char *path = copy ? strtok_r(copy, ":", &state) : NULL; path; path = strtok_r(NULL, ":", &state)) {
    if (*count == room) usage_error("enter: more than %s cgroups", "32");
    if ((fds[(*count)++] = open(path, O_WRONLY | O_CLOEXEC)) < 0) fail(errno, "enter: --cgroup-procs %s", path);
  }
  free(copy);
}

// The bounding set is what an execve of root gives; the other sets are cut to it at once.
static void keep_capabilities(unsigned long long kept) {
  for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
    if (!(kept >> cap & 1) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0) fail(errno, "enter: dropping capability %d", cap);
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL) fail(errno, "enter: ambient capabilities");
  struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct sets[2] = {
      {.effective = (unsigned)kept, .permitted = (unsigned)kept},
      {.effective = (unsigned)(kept >> 32), .permitted = (unsigned)(kept >> 32)},
  };
  if (syscall(SYS_capset, &head, sets) < 0) fail(errno, "enter: capset");
}

// Whatever our caller has left open by mistake is not for the workload: a folder of the host would be a way out.
static void keep_descriptors_here(void) {
  enum { cloexec = 1 << 2 }; // CLOSE_RANGE_CLOEXEC, Linux 5.11
  if (syscall(SYS_close_range, 3, ~0U, cloexec) == 0) return;
  for (long fd = 3, end = sysconf(_SC_OPEN_MAX); fd < end; fd++) fcntl((int)fd, F_SETFD, FD_CLOEXEC);
}

int enter_command(int argc, char **argv) {
  const char *cgroups = NULL, *capabilities = NULL;
  long long pid = 0, ticks = 0;
  const struct option_spec specs[] = {
      {.name = "pid", .number = &pid, .min = 1, .max = 1 << 22, .is_required = 1},
      {.name = "start-ticks", .number = &ticks, .min = 1, .max = 1LL << 62, .is_required = 1},
      {.name = "capabilities", .text = &capabilities, .is_required = 1},
      {.name = "cgroup-procs", .text = &cgroups},
  };
  int rest = parse_options("enter", argc, argv, specs, sizeof specs / sizeof *specs);
  if (rest >= argc) usage_error("enter: no command after --%s", "");
  char *end;
  errno = 0;
  unsigned long long kept = strtoull(capabilities, &end, 16);
  if (errno || *end != '\0') usage_error("enter: --capabilities must be a hexadecimal mask, not \"%s\"", capabilities);
  become_sealed_copy(argv - 2); // main gave us what follows its own name and ours

  int proc = process_open("enter", pid, ticks);
  static const struct {
    const char *file;
    int type;
  } spaces[] = {{"ns/ipc", CLONE_NEWIPC}, {"ns/uts", CLONE_NEWUTS}, {"ns/net", CLONE_NEWNET}, {"ns/mnt", CLONE_NEWNS}};
  enum { space_count = sizeof spaces / sizeof *spaces, most_cgroups = 32 };
  int space_fds[space_count], cgroup_fds[most_cgroups], cgroup_count = 0;
  for (int i = 0; i < space_count; i++) space_fds[i] = process_file("enter", proc, spaces[i].file, O_RDONLY);
  int pids = process_file("enter", proc, "ns/pid", O_RDONLY), root = process_file("enter", proc, "root", O_PATH | O_DIRECTORY),
      cwd = process_file("enter", proc, "cwd", O_PATH | O_DIRECTORY);
  if (cgroups) open_cgroups(cgroups, cgroup_fds, &cgroup_count, most_cgroups);
  // From its first moment among the workload's processes the child can neither be traced nor looked into.
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || setns(pids, CLONE_NEWPID) < 0) fail(errno, "enter: the pid namespace");

  pid_t child = fork();
  if (child < 0) fail(errno, "enter: fork");
  if (child > 0) {
    int status;
    while (waitpid(child, &status, 0) < 0)
      if (errno != EINTR) fail(errno, "enter: waitpid");
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  for (int i = 0; i < cgroup_count; i++)
    if (write(cgroup_fds[i], "0", 1) != 1) fail(errno, "enter: --cgroup-procs");
  for (int i = 0; i < space_count; i++)
    if (setns(space_fds[i], spaces[i].type) < 0) fail(errno, "enter: %s", spaces[i].file);
  if (fchdir(root) < 0 || chroot(".") < 0 || fchdir(cwd) < 0) fail(errno, "enter: its root");
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) fail(errno, "enter: no_new_privs");
  if (setgroups(0, NULL) < 0) fail(errno, "enter: setgroups");
  keep_capabilities(kept);
  signal(SIGPIPE, SIG_DFL);
  keep_descriptors_here();
  execvp(argv[rest], argv + rest);
  int error = errno;
  fprintf(stderr, "%s: %s\n", argv[rest], strerror(error));
  return error == ENOENT ? 127 : 126;
}
