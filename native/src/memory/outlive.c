#include "outlive.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "report.h"

void protect_from_oom(void) {
  int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  if (write_all(fd, "-999", 4) < 0) say(STDOUT_FILENO, "{\"event\":\"note\",\"reason\":\"this process may be chosen when memory runs out\"}");
  close(fd);
}

void write_status(const char *path, const char *text) {
  char beside[4096];
  snprintf(beside, sizeof beside, "%s.new", path);
  int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return;
  int is_written = write_all(fd, text, strlen(text)) == 0 && fsync(fd) == 0;
  close(fd);
  if (is_written) rename(beside, path);
}
