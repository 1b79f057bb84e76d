#include "spare.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "report.h"

enum { max_spares = 4096, flag_exiting = 4 /* PF_EXITING, include/linux/sched.h */ };

// `number`: the owner's.
static struct spare {
  int number, fd, is_seen;
} spares[max_spares];
static int spare_count;

static int is_userfaultfd(int dir, const char *name) {
  char target[64];
  ssize_t length = readlinkat(dir, name, target, sizeof target - 1);
  if (length <= 0) return 0;
  target[length] = '\0';
  return strcmp(target, "anon_inode:[userfaultfd]") == 0;
}

// A number may have been used anew since we looked. A kernel that does not compare is believed to have the same.
static int is_same(pid_t owner, const struct spare *spare) { return syscall(SYS_kcmp, getpid(), owner, KCMP_FILE, spare->fd, spare->number) <= 0; }

static int is_known(pid_t owner, int number) {
  for (struct spare *spare = spares; spare < spares + spare_count; spare++)
    if (spare->number == number && !spare->is_seen && is_same(owner, spare)) return spare->is_seen = 1;
  return 0;
}

static void take(int pidfd, int number) {
  int fd = spare_count < max_spares ? (int)syscall(SYS_pidfd_getfd, pidfd, number, 0) : -1;
  if (fd >= 0) spares[spare_count++] = (struct spare){.number = number, .fd = fd, .is_seen = 1};
  else say(STDOUT_FILENO, "{\"event\":\"note\",\"reason\":\"pages that are missing would read as zeros if criu were killed\"}");
}

// The kernel marks a process as exiting before it closes its files (kernel/exit.c: exit_signals comes before exit_files): one without the mark, looked at after a descriptor was seen to be
// gone, has closed it himself.
static int is_ending(pid_t owner, int pidfd) {
  char path[32], text[1024], state;
  unsigned long flags;
  snprintf(path, sizeof path, "/proc/%d/stat", owner);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
  if (fd >= 0) close(fd);
  if (length <= 0) return 1;
  text[length] = '\0';
  const char *at = strrchr(text, ')');
  if (!at || sscanf(at + 1, " %c %*d %*d %*d %*d %*d %lu", &state, &flags) != 2 || (flags & flag_exiting)) return 1;
  struct pollfd end = {.fd = pidfd, .events = POLLIN}; // the number may be another process's by now
  return poll(&end, 1, 0) != 0;
}

void spare_look(pid_t owner, int pidfd) {
  char path[32];
  snprintf(path, sizeof path, "/proc/%d/fd", owner);
  if (is_ending(owner, pidfd)) return;
  DIR *dir = opendir(path);
  if (!dir) return;
  for (int i = 0; i < spare_count; i++) spares[i].is_seen = 0;
  for (struct dirent *entry; (entry = readdir(dir));)
    if (is_userfaultfd(dirfd(dir), entry->d_name) && !is_known(owner, atoi(entry->d_name))) take(pidfd, atoi(entry->d_name));
  closedir(dir);
  if (is_ending(owner, pidfd)) return;
  for (int i = spare_count - 1; i >= 0; i--) {
    if (spares[i].is_seen) continue;
    close(spares[i].fd);
    spares[i] = spares[--spare_count];
  }
}
