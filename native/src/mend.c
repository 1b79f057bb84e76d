// What a killed criu dump leaves: it puts each TCP connection in repair mode while it reads it, and takes it out at its end. A connection that stays
// in repair mode takes no more data (send fails with EINVAL), so the program closes it and its peer gets a reset: seen at each kill from 12 ms
// into a dump on. The kernel lends us the sockets of the stopped processes (pidfd_getfd, Linux 5.6).
#include "mend.h"

#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "commands.h"
#include "options.h"
#include "orphan.h"
#include "report.h"

#ifndef TCP_REPAIR
#define TCP_REPAIR 19
#endif
enum { repair_off_without_probe = -1 }; // TCP_REPAIR_OFF_NO_WP: no window probe, the network may lead nowhere yet

static int mend(int socket) {
  int is_on = 0, off = repair_off_without_probe;
  socklen_t size = sizeof is_on;
  if (getsockopt(socket, IPPROTO_TCP, TCP_REPAIR, &is_on, &size) < 0 || is_on != 1) return 0;
  return setsockopt(socket, IPPROTO_TCP, TCP_REPAIR, &off, sizeof off) == 0;
}

static int mend_process(pid_t pid) {
  int mended = 0, pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
  char path[64], target[64];
  snprintf(path, sizeof path, "/proc/%d/fd", pid);
  DIR *folder = pidfd < 0 ? NULL : opendir(path);
  for (struct dirent *entry; folder && (entry = readdir(folder));) {
    ssize_t length = readlinkat(dirfd(folder), entry->d_name, target, sizeof target - 1);
    if (length <= 0 || strncmp(target, "socket:", 7) != 0) continue;
    int socket = (int)syscall(SYS_pidfd_getfd, pidfd, atoi(entry->d_name), 0);
    if (socket < 0) continue;
    mended += mend(socket);
    close(socket);
  }
  if (folder) closedir(folder);
  if (pidfd >= 0) close(pidfd);
  return mended;
}

int mend_sockets(const char *procs) {
  FILE *list = fopen(procs, "re");
  int pid, mended = 0;
  while (list && fscanf(list, "%d", &pid) == 1) mended += mend_process(pid);
  if (list) fclose(list);
  return mended;
}

int mend_command(int argc, char **argv) {
  const char *procs = NULL, *orphan = NULL;
  const struct option_spec specs[] = {
      {.name = "procs", .text = &procs, .is_required = 1},
      {.name = "orphan", .text = &orphan},
  };
  int rest = parse_options("mend", argc, argv, specs, sizeof specs / sizeof *specs);
  if (rest < argc) usage_error("mend: unexpected argument \"%s\"", argv[rest]);
  int tasks = mend_orphan(orphan, procs);
  say(STDOUT_FILENO, "{\"event\":\"mended\",\"tasks\":%d,\"sockets\":%d}", tasks > 0, mend_sockets(procs));
  return tasks < 0 && tasks != -ESRCH;
}
