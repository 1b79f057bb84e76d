// Becomes a command, after it has been put where it must run: in cgroups (so that what it restores is counted there from the first page
// on) and behind a private /run (criu keeps what it found out about the kernel in /run/criu.kdat, but only when /run is a tmpfs; finding out anew
// costs some 20 ms in each call, inside the freeze). Nothing outside of this process changes.
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "commands.h"
#include "limits.h"
#include "memory/fdpass.h"
#include "memory/hide.h"
#include "options.h"
#include "report.h"

static void join(char *path) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0 || write(fd, "0", 1) != 1) fail(errno, "launch: --cgroup-procs %s", path);
  close(fd);
}

// Everything slow is behind us here; a byte says that it is time. The end of the input says that nobody is there any more to say so.
static void wait_for_go(int fd) {
  char byte;
  ssize_t got;
  while ((got = read(fd, &byte, 1)) < 0 && errno == EINTR) continue;
  if (got < 0) fail(errno, "launch: --go-fd %d", fd);
  if (got == 0) exit(1);
  close(fd);
  if (fd == STDIN_FILENO && open("/dev/null", O_RDONLY) < 0) fail(errno, "launch: /dev/null");
}

// A socket of our caller's becomes the descriptor that comes on it, for the command. Nobody else holds that one but who sent it.
static void take_place_of(int line) {
  int error, fd = receive_fd(line, &error);
  if (fd < 0) fail(error, "launch: --receive-fd %d", line);
  if (dup2(fd, line) < 0) fail(errno, "launch: --receive-fd %d", line);
  close(fd);
}

static void own_mounts(const char *option) {
  if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) fail(errno, "launch: %s", option);
}

#ifndef MS_NOSYMFOLLOW
#define MS_NOSYMFOLLOW 256
#endif

// Whoever reads a tree by names while somebody else writes in it may be led out of it: a directory becomes a symbolic link between two looks. On a mount with this
// flag (Linux 5.10; before, the kernel does not know it and goes on) links can be read and are never followed.
static void follow_no_links(const char *dir) {
  struct statvfs is;
  if (statvfs(dir, &is) < 0) fail(errno, "launch: --no-links-in %s", dir);
  unsigned long kept = is.f_flag & (ST_RDONLY | ST_NOSUID | ST_NODEV | ST_NOEXEC | ST_NOATIME | ST_NODIRATIME); // the numbers of MS_*
  own_mounts("--no-links-in");
  if (mount(dir, dir, NULL, MS_BIND | MS_REC, NULL) < 0 || mount(NULL, dir, NULL, MS_REMOUNT | MS_BIND | MS_NOSYMFOLLOW | kept, NULL) < 0)
    fail(errno, "launch: --no-links-in %s", dir);
}

int launch_command(int argc, char **argv) {
  const char *cgroups = NULL, *run_dir = NULL, *answers = NULL, *no_links = NULL;
  long long go_fd = -1, line = -1, niceness = 0, answers_limits = 0;
  const struct option_spec specs[] = {
      {.name = "cgroup-procs", .text = &cgroups},
      {.name = "run-dir", .text = &run_dir},
      {.name = "no-links-in", .text = &no_links},
      {.name = "page-answers", .text = &answers},
      {.name = "go-fd", .number = &go_fd, .min = 0, .max = 1023},
      {.name = "receive-fd", .number = &line, .min = 3, .max = 1023},
      {.name = "answer-limits", .number = &answers_limits, .min = 0, .max = 1},
      {.name = "nice", .number = &niceness, .min = -20, .max = 19},
  };
  int rest = parse_options("launch", argc, argv, specs, sizeof specs / sizeof *specs);
  if (rest >= argc) usage_error("launch: no command after --%s", "");
  char *state = NULL, *copy = cgroups ? strdup(cgroups) : NULL;
  for (char *path = copy ? strtok_r(copy, ":", &state) : NULL; path; path = strtok_r(NULL, ":", &state)) join(path);
  if (answers) hide_install(answers);
  else if (answers_limits && limits_are_hidden()) limits_supervise();
  if (niceness != 0 && setpriority(PRIO_PROCESS, 0, (int)niceness) < 0 && errno != EACCES && errno != EPERM) fail(errno, "launch: --nice");
  if (run_dir) { // what is mounted from now on is not seen in it
    own_mounts("--run-dir");
    if (mount(run_dir, "/run", NULL, MS_BIND, NULL) < 0) fail(errno, "launch: --run-dir %s", run_dir);
  }
  if (no_links) follow_no_links(no_links);
  if (line >= 0) take_place_of((int)line);
  if (go_fd >= 0) wait_for_go((int)go_fd);
  execvp(argv[rest], argv + rest);
  fail(errno, "launch: cannot run %s", argv[rest]);
}
