// Takes mounts out of the mount namespace of a workload, by the kernel's calls alone: a program that is found inside is one that the workload may have written.
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include "commands.h"
#include "options.h"
#include "process.h"
#include "report.h"

int unmount_command(int argc, char **argv) {
  long long pid = 0, ticks = 0;
  const struct option_spec specs[] = {
      {.name = "pid", .number = &pid, .min = 1, .max = 1 << 22, .is_required = 1},
      {.name = "start-ticks", .number = &ticks, .min = 1, .max = 1LL << 62, .is_required = 1},
  };
  int rest = parse_options("unmount", argc, argv, specs, sizeof specs / sizeof *specs);
  if (rest >= argc) usage_error("unmount: no folder after --%s", "");
  int process = process_open("unmount", pid, ticks);
  int space = process_file("unmount", process, "ns/mnt", O_RDONLY), root = process_file("unmount", process, "root", O_PATH | O_DIRECTORY);
  if (setns(space, CLONE_NEWNS) < 0 || fchdir(root) < 0 || chroot(".") < 0) fail(errno, "unmount: its mount namespace");
  for (int i = rest; i < argc; i++) {
    if (umount2(argv[i], UMOUNT_NOFOLLOW) < 0 && errno != EINVAL && errno != ENOENT) fail(errno, "unmount: %s", argv[i]);
    rmdir(argv[i]); // something may lie in it that is not ours
  }
  return 0;
}
