// TCP sockets of a workload, as its kernel has them: sock_diag in its network namespace (linux/inet_diag.h), no text to parse.
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>

#include "helper.h"

enum { state_established = 1, state_listen = 10, every_state = 0xfff, most_sampled = 4096 };

static struct {
  long long established, listening, other, retransmits, queued;
  uint32_t round_trips[most_sampled];
  int sampled;
} seen;

static void count(const struct inet_diag_msg *message, int length) {
  if (message->idiag_state == state_listen) seen.listening++;
  else if (message->idiag_state == state_established) seen.established++;
  else seen.other++;
  if (message->idiag_state == state_listen) return;
  seen.queued += message->idiag_wqueue;
  for (struct rtattr *at = (struct rtattr *)(message + 1); RTA_OK(at, length); at = RTA_NEXT(at, length)) {
    if (at->rta_type != INET_DIAG_INFO) continue;
    struct tcp_info info = {0};
    size_t size = RTA_PAYLOAD(at);
    memcpy(&info, RTA_DATA(at), size < sizeof info ? size : sizeof info);
    seen.retransmits += info.tcpi_total_retrans;
    if (message->idiag_state == state_established && info.tcpi_rtt > 0 && seen.sampled < most_sampled) seen.round_trips[seen.sampled++] = info.tcpi_rtt;
  }
}

// One address family; 0 or -errno.
static int dump(int fd, int family) {
  struct {
    struct nlmsghdr header;
    struct inet_diag_req_v2 request;
  } ask = {
      .header = {.nlmsg_len = sizeof ask, .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
      .request = {.sdiag_family = (__u8)family, .sdiag_protocol = IPPROTO_TCP, .idiag_ext = 1 << (INET_DIAG_INFO - 1), .idiag_states = every_state},
  };
  if (send(fd, &ask, sizeof ask, 0) < 0) return -errno;
  static char buffer[65536] __attribute__((aligned(8)));
  for (;;) {
    ssize_t got = recv(fd, buffer, sizeof buffer, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return -errno;
    int left = (int)got;
    for (struct nlmsghdr *header = (struct nlmsghdr *)buffer; NLMSG_OK(header, (unsigned)left); header = NLMSG_NEXT(header, left)) {
      if (header->nlmsg_type == NLMSG_DONE) return 0;
      if (header->nlmsg_type == NLMSG_ERROR) return ((struct nlmsgerr *)NLMSG_DATA(header))->error;
      if (header->nlmsg_type == SOCK_DIAG_BY_FAMILY)
        count(NLMSG_DATA(header), (int)header->nlmsg_len - (int)NLMSG_LENGTH(sizeof(struct inet_diag_msg)));
    }
  }
}

// A socket belongs for life to the namespace in which it was made: we are there for that one call.
static int open_inside(const char *namespace) {
  int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), theirs = open(namespace, O_RDONLY | O_CLOEXEC), fd = -1, error = 0;
  if (own < 0 || theirs < 0 || setns(theirs, CLONE_NEWNET) < 0) error = errno;
  if (!error) {
    fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    error = fd < 0 ? errno : 0;
    if (setns(own, CLONE_NEWNET) < 0) _Exit(1); // in the wrong namespace every later answer would be wrong
  }
  if (own >= 0) close(own);
  if (theirs >= 0) close(theirs);
  return error ? -error : fd;
}

static int ascending(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return (x > y) - (x < y);
}

// sockets NAMESPACE_FILE
void sockets_read(const struct command *command) {
  memset(&seen, 0, sizeof seen);
  int fd = open_inside(command->argv[0]);
  if (fd < 0) return refuse(command, -fd, "sockets: %s", command->argv[0]);
  struct timeval patience = {.tv_sec = 2};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  int error = dump(fd, AF_INET);
  if (!error) error = dump(fd, AF_INET6);
  if (error == -ENOENT || error == -EAFNOSUPPORT) error = 0; // a kernel without IPv6
  close(fd);
  if (error) return refuse(command, -error, "sockets");
  qsort(seen.round_trips, (size_t)seen.sampled, sizeof *seen.round_trips, ascending);
  char median[24] = "null";
  if (seen.sampled > 0) snprintf(median, sizeof median, "%u", seen.round_trips[seen.sampled / 2]);
  reply(command, "\"established\":%lld,\"listening\":%lld,\"other\":%lld,\"retransmits\":%lld,\"queuedBytes\":%lld,\"roundTripUs\":%s", seen.established,
        seen.listening, seen.other, seen.retransmits, seen.queued, median);
}
