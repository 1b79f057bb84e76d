#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "report.h"

static unsigned long long start_ticks(int process) {
  char text[4096];
  int file = openat(process, "stat", O_RDONLY | O_CLOEXEC);
  ssize_t length = file < 0 ? -1 : read(file, text, sizeof text - 1);
  if (file >= 0) close(file);
  if (length <= 0) return 0;
  text[length] = '\0';
  char *at = strrchr(text, ')');
  for (int field = 2; at && field < 22; field++) at = strchr(at + 1, ' ');
  return at ? strtoull(at + 1, NULL, 10) : 0;
}

int process_open(const char *command, long long pid, long long ticks) {
  char path[32];
  snprintf(path, sizeof path, "/proc/%lld", pid);
  int process = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (process < 0) fail(errno, "%s: %s", command, path);
  if (start_ticks(process) != (unsigned long long)ticks) fail(0, "%s: process %lld is not the one that was meant", command, pid);
  return process;
}

int process_file(const char *command, int process, const char *name, int flags) {
  int fd = openat(process, name, flags | O_CLOEXEC);
  if (fd < 0) fail(errno, "%s: /proc/PID/%s", command, name);
  return fd;
}
