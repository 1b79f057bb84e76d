// Rules that drop packets of an address at a device. XDP in generic mode: the native one would restart the queues of many network cards, in
// the middle of a move. Both are taken off when the last rule of a device goes and when this program ends; after a crash of it the rules end
// at their deadlines, and the next one to hold at that device replaces what was left.
#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <linux/if_link.h>
#include <netinet/in.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "helper.h"
#include "records.h"

enum { most_rules = 1024, most_devices = 16, filter_handle = 0xae, filter_priority = 0xae };
enum method { xdp, tc };

static struct rule {
  struct hold_key key;
  int device;
  enum method method;
} rules[most_rules];
static int rule_count;

static struct device {
  int index;
  enum method method;
} devices[most_devices];
static int device_count;

static struct bpf_object *object;
static int rules_fd = -1;

static int load(void) {
  if (object) return 0;
  object = open_object("hold");
  if (!object) return errno ? -errno : -EINVAL;
  int error = bpf_object__load(object);
  if (error) {
    bpf_object__close(object);
    object = NULL;
    return error;
  }
  rules_fd = bpf_object__find_map_fd_by_name(object, "rules");
  return 0;
}

static int program_fd(enum method method) {
  return bpf_program__fd(bpf_object__find_program_by_name(object, method == xdp ? "hold_xdp" : "hold_tc"));
}

// Ours from an earlier life may be replaced, anybody else's never.
static int is_ours(int program) {
  struct bpf_prog_info info = {0};
  __u32 size = sizeof info;
  return bpf_obj_get_info_by_fd(program, &info, &size) == 0 && strcmp(info.name, "hold_xdp") == 0;
}

static int set_xdp(int index, int is_on) {
  if (!is_on) return bpf_xdp_detach(index, XDP_FLAGS_SKB_MODE, NULL);
  int error = bpf_xdp_attach(index, program_fd(xdp), XDP_FLAGS_SKB_MODE | XDP_FLAGS_UPDATE_IF_NOEXIST, NULL);
  __u32 id = 0;
  if (error != -EBUSY || bpf_xdp_query_id(index, XDP_FLAGS_SKB_MODE, &id) < 0) return error;
  int old = bpf_prog_get_fd_by_id(id);
  LIBBPF_OPTS(bpf_xdp_attach_opts, options, .old_prog_fd = old);
  if (old >= 0 && is_ours(old)) error = bpf_xdp_attach(index, program_fd(xdp), XDP_FLAGS_SKB_MODE | XDP_FLAGS_REPLACE, &options);
  if (old >= 0) close(old);
  return error;
}

static int set_tc(int index, int is_on) {
  LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = index, .attach_point = BPF_TC_INGRESS);
  LIBBPF_OPTS(bpf_tc_opts, filter, .handle = filter_handle, .priority = filter_priority);
  if (!is_on) return bpf_tc_detach(&hook, &filter); // the clsact qdisc may be somebody else's: it stays
  int error = bpf_tc_hook_create(&hook);
  if (error && error != -EEXIST) return error;
  filter.prog_fd = program_fd(tc);
  filter.flags = BPF_TC_F_REPLACE;
  return bpf_tc_attach(&hook, &filter);
}

static int set(int index, enum method method, int is_on) {
  return method == xdp ? set_xdp(index, is_on) : set_tc(index, is_on);
}

static int attach(int index, enum method method) {
  for (int i = 0; i < device_count; i++)
    if (devices[i].index == index && devices[i].method == method) return 0;
  if (device_count == most_devices) return -ENOSPC;
  int error = set(index, method, 1);
  if (!error) devices[device_count++] = (struct device){.index = index, .method = method};
  return error;
}

static void detach_unused(int index, enum method method) {
  for (int i = 0; i < rule_count; i++)
    if (rules[i].device == index && rules[i].method == method) return;
  for (int i = 0; i < device_count; i++) {
    if (devices[i].index != index || devices[i].method != method) continue;
    set(index, method, 0); // the device may be gone: then so is what was attached
    devices[i] = devices[--device_count];
    return;
  }
}

static int parse_key(const struct command *command, struct hold_key *key) {
  char *end;
  long port = strtol(command->argv[1], &end, 10);
  memset(key, 0, sizeof *key);
  if (inet_pton(AF_INET, command->argv[0], &key->address) != 1 || *end || port < 0 || port > 65535) return -1;
  key->port = htons((uint16_t)port);
  return 0;
}

static struct rule *find(const struct hold_key *key) {
  for (int i = 0; i < rule_count; i++)
    if (memcmp(&rules[i].key, key, sizeof *key) == 0) return &rules[i];
  return NULL;
}

// hold ADDRESS PORT DEVICE xdp_icmp|tc_drop DEADLINE_MS; PORT 0: everything for the address.
void hold_add(const struct command *command) {
  struct hold_key key;
  int index = (int)if_nametoindex(command->argv[2]);
  enum method method = strcmp(command->argv[3], "xdp_icmp") == 0 ? xdp : tc;
  long long deadline_ms = atoll(command->argv[4]);
  if (parse_key(command, &key) < 0 || deadline_ms < 1 || (method == tc && strcmp(command->argv[3], "tc_drop") != 0))
    return refuse(command, EINVAL, "hold");
  if (index == 0) return refuse(command, ENODEV, "hold: %s", command->argv[2]);
  int error = load();
  if (error) return refuse(command, -error, "the kernel did not take the programs: %s", last_words());
  struct rule *rule = find(&key);
  if (!rule && rule_count == most_rules) return refuse(command, ENOSPC, "hold: %d rules", most_rules);
  struct hold_rule value = {.action = method == xdp ? hold_icmp : hold_drop, .until_ns = (uint64_t)(now_us() + deadline_ms * 1000) * 1000};
  if (bpf_map_update_elem(rules_fd, &key, &value, BPF_ANY) < 0) return refuse(command, errno, "hold");
  if (!rule) rule = &rules[rule_count++];
  *rule = (struct rule){.key = key, .device = index, .method = method};
  error = attach(index, method);
  if (error) {
    bpf_map_delete_elem(rules_fd, &key);
    *rule = rules[--rule_count];
    return refuse(command, -error, "hold: attaching to %s", command->argv[2]);
  }
  reply(command, "\"held\":true");
}

static int counts_of(const struct hold_key *key, struct hold_rule *value) {
  return rules_fd < 0 ? -1 : bpf_map_lookup_elem(rules_fd, key, value);
}

// held ADDRESS PORT
void hold_facts(const struct command *command) {
  struct hold_key key;
  struct hold_rule value;
  if (parse_key(command, &key) < 0) return refuse(command, EINVAL, "held");
  if (counts_of(&key, &value) < 0) return refuse(command, ENOENT, "held");
  reply(command, "\"dropped\":%llu,\"answered\":%llu", (unsigned long long)value.dropped, (unsigned long long)value.answered);
}

// release ADDRESS PORT; releasing what is not held counts nothing.
void hold_remove(const struct command *command) {
  struct hold_key key;
  struct hold_rule value = {0};
  if (parse_key(command, &key) < 0) return refuse(command, EINVAL, "release");
  struct rule *rule = find(&key);
  if (rule) {
    struct rule old = *rule;
    *rule = rules[--rule_count];
    if (counts_of(&key, &value) == 0) bpf_map_delete_elem(rules_fd, &key);
    detach_unused(old.device, old.method);
  }
  reply(command, "\"dropped\":%llu,\"answered\":%llu", (unsigned long long)value.dropped, (unsigned long long)value.answered);
}

void hold_end(void) {
  while (device_count > 0) {
    struct device last = devices[--device_count];
    set(last.index, last.method, 0);
  }
}

// In a network namespace of its own, on its loopback: does a rule drop a datagram, and does it let one through once it has ended?
static int try_method(enum method method) {
  if (unshare(CLONE_NEWNET) < 0) return errno;
  int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
  if (control < 0 || ioctl(control, SIOCSIFFLAGS, &request) < 0) return errno;
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof at;
  int receiver = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  struct timeval patience = {.tv_usec = 20000};
  if (receiver < 0 || bind(receiver, (struct sockaddr *)&at, sizeof at) < 0 || getsockname(receiver, (struct sockaddr *)&at, &size) < 0 ||
      setsockopt(receiver, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) < 0)
    return errno;
  int index = (int)if_nametoindex("lo");
  struct hold_key key = {.address = at.sin_addr.s_addr, .port = at.sin_port};
  struct hold_rule value = {.action = hold_drop, .until_ns = (uint64_t)(now_us() + 10000000) * 1000};
  if (bpf_map_update_elem(rules_fd, &key, &value, BPF_ANY) < 0) return errno;
  int error = set(index, method, 1);
  if (error) return -error;
  char byte = 1;
  if (sendto(control, &byte, 1, 0, (struct sockaddr *)&at, sizeof at) < 0) return errno;
  if (recv(receiver, &byte, 1, 0) >= 0) return EPROTO; // it came through
  value.until_ns = 1;
  if (bpf_map_update_elem(rules_fd, &key, &value, BPF_ANY) < 0) return errno;
  if (sendto(control, &byte, 1, 0, (struct sockaddr *)&at, sizeof at) < 0) return errno;
  return recv(receiver, &byte, 1, 0) == 1 ? 0 : ETIME; // the deadline did not open it
}

// In a child: it leaves our namespace, and what it attaches is gone with its own.
static int probe(enum method method) {
  pid_t child = fork();
  if (child < 0) return errno;
  if (child == 0) _exit(try_method(method) & 0xff);
  int status;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
  return WIFEXITED(status) ? WEXITSTATUS(status) : EFAULT;
}

void hold_probe(char *out, size_t size) {
  int error = -load();
  int by_xdp = error ? error : probe(xdp), by_tc = error ? error : probe(tc);
  snprintf(out, size, "{\"xdpIcmp\":%s,\"xdpErrno\":%d,\"tcDrop\":%s,\"tcErrno\":%d}", by_xdp ? "false" : "true", by_xdp, by_tc ? "false" : "true", by_tc);
}
