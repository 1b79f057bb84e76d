// Where each established TCP connection of stopped processes stands, as the kernel has it: the next byte that the program will write, and the next
// one that is expected of the peer. The kernel tells them in repair mode only (tcp(7): TCP_QUEUE_SEQ), in which criu reads them too; the sockets are lent
// to us (pidfd_getfd, Linux 5.6) and are in that mode for a few microseconds. Nothing of it can be seen on the network.
#include <arpa/inet.h>
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
#include "report.h"

#ifndef TCP_REPAIR
#define TCP_REPAIR 19
#define TCP_REPAIR_QUEUE 20
#define TCP_QUEUE_SEQ 21
#endif
enum { repair_on = 1, repair_off_without_probe = -1, receive_queue = 1, send_queue = 2 };

static int read_option(int socket, int level, int name, int *value) {
  socklen_t size = sizeof *value;
  return getsockopt(socket, level, name, value, &size);
}

static int sequence_of(int socket, int queue, unsigned *sequence) {
  return setsockopt(socket, IPPROTO_TCP, TCP_REPAIR_QUEUE, &queue, sizeof queue) < 0 ? -1 : read_option(socket, IPPROTO_TCP, TCP_QUEUE_SEQ, (int *)sequence);
}

// As /proc/net/tcp and tcp6 have the address, so that both sides of a move write it alike: of IPv6 four words of this machine's byte order.
static void format(const struct sockaddr_storage *address, char *text, size_t size) {
  if (address->ss_family == AF_INET) {
    const struct sockaddr_in *v4 = (const void *)address;
    char dotted[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &v4->sin_addr, dotted, sizeof dotted);
    snprintf(text, size, "%s:%u", dotted, ntohs(v4->sin_port));
    return;
  }
  const struct sockaddr_in6 *v6 = (const void *)address;
  unsigned words[4];
  memcpy(words, &v6->sin6_addr, sizeof words);
  snprintf(text, size, "[%08x%08x%08x%08x]:%u", words[0], words[1], words[2], words[3], ntohs(v6->sin6_port));
}

static void tell(int socket) {
  int protocol = 0, is_repaired = 0, reuse = 0, on = repair_on, off = repair_off_without_probe;
  struct tcp_info info;
  socklen_t info_size = sizeof info;
  if (read_option(socket, SOL_SOCKET, SO_PROTOCOL, &protocol) < 0 || protocol != IPPROTO_TCP) return;
  if (getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &info_size) < 0 || info.tcpi_state != TCP_ESTABLISHED) return;
  struct sockaddr_storage here, there;
  socklen_t here_size = sizeof here, there_size = sizeof there;
  if (getsockname(socket, (struct sockaddr *)&here, &here_size) < 0 || getpeername(socket, (struct sockaddr *)&there, &there_size) < 0)
    fail(errno, "socket-sequences: the ends of a connection");
  char local[64], remote[64];
  format(&here, local, sizeof local);
  format(&there, remote, sizeof remote);
  unsigned sent = 0, received = 0;
  // Leaving the mode forgets SO_REUSEADDR.
  if (read_option(socket, SOL_SOCKET, SO_REUSEADDR, &reuse) < 0 || read_option(socket, IPPROTO_TCP, TCP_REPAIR, &is_repaired) < 0)
    fail(errno, "socket-sequences: the options of %s %s", local, remote);
  if (is_repaired != repair_on && setsockopt(socket, IPPROTO_TCP, TCP_REPAIR, &on, sizeof on) < 0) fail(errno, "socket-sequences: %s %s", local, remote);
  int failed = sequence_of(socket, send_queue, &sent) < 0 || sequence_of(socket, receive_queue, &received) < 0;
  int problem = errno, none = 0;
  setsockopt(socket, IPPROTO_TCP, TCP_REPAIR_QUEUE, &none, sizeof none);
  if (is_repaired != repair_on) {
    if (setsockopt(socket, IPPROTO_TCP, TCP_REPAIR, &off, sizeof off) < 0) fail(errno, "socket-sequences: %s %s is left in repair mode", local, remote);
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof reuse);
  }
  if (failed) fail(problem, "socket-sequences: %s %s", local, remote);
  say(STDOUT_FILENO, "{\"local\":\"%s\",\"remote\":\"%s\",\"sent\":%u,\"received\":%u}", local, remote, sent, received);
}

static void tell_process(pid_t pid, unsigned long *seen, int *seen_count, int seen_max) {
  char path[64], target[64];
  int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
  snprintf(path, sizeof path, "/proc/%d/fd", pid);
  DIR *folder = pidfd < 0 ? NULL : opendir(path);
  for (struct dirent *entry; folder && (entry = readdir(folder));) {
    ssize_t length = readlinkat(dirfd(folder), entry->d_name, target, sizeof target - 1);
    if (length <= 0 || strncmp(target, "socket:[", 8) != 0) continue;
    target[length] = 0;
    unsigned long inode = strtoul(target + 8, NULL, 10);
    int is_known = 0;
    for (int i = 0; i < *seen_count && !is_known; i++) is_known = seen[i] == inode; // two processes, or two descriptors, of one connection
    if (is_known) continue;
    if (*seen_count == seen_max) fail(0, "socket-sequences: more than %d sockets", seen_max);
    seen[(*seen_count)++] = inode;
    int socket = (int)syscall(SYS_pidfd_getfd, pidfd, atoi(entry->d_name), 0);
    if (socket < 0) fail(errno, "socket-sequences: descriptor %s of process %d", entry->d_name, pid);
    tell(socket);
    close(socket);
  }
  if (folder) closedir(folder);
  if (pidfd >= 0) close(pidfd);
}

int socket_sequences_command(int argc, char **argv) {
  enum { max_sockets = 65536 };
  const char *procs = NULL;
  const struct option_spec specs[] = {{.name = "procs", .text = &procs, .is_required = 1}};
  int rest = parse_options("socket-sequences", argc, argv, specs, sizeof specs / sizeof *specs);
  if (rest < argc) usage_error("socket-sequences: unexpected argument \"%s\"", argv[rest]);
  // Started ahead of time: nothing is looked at before one line has come. Its end says that nobody wants to know any more.
  char word[16];
  if (!fgets(word, sizeof word, stdin)) return 0;
  FILE *list = fopen(procs, "re");
  if (!list) fail(errno, "socket-sequences: %s", procs);
  unsigned long *seen = malloc(max_sockets * sizeof *seen);
  if (!seen) fail(errno, "socket-sequences");
  int pid, count = 0;
  while (fscanf(list, "%d", &pid) == 1) tell_process(pid, seen, &count, max_sockets);
  fclose(list);
  free(seen);
  return 0;
}
