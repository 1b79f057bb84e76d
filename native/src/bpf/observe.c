// Watches workloads: when their tasks stop and run, how long they wait for a CPU, what TCP resets and sends again in their namespace.
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "helper.h"
#include "records.h"

enum { most_watched = 64, name_size = 64, most_links = 8 };

static struct watched {
  char name[name_size];
  uint64_t cgroup;
  uint32_t namespace;
  uint64_t armed_us;
} watched[most_watched];
static int watched_count;

static struct bpf_object *object;
static struct bpf_link *links[most_links];
static int link_count, load_error;
static int watches_fd = -1, namespaces_fd = -1;

// Programs for tracepoints that this kernel does not have are left out; what they would count is then not known.
static const struct {
  const char *program, *tracepoint;
} optional[] = {
    {"on_retransmit", "tcp_retransmit_skb"},
    {"on_reset_sent", "tcp_send_reset"},
    {"on_reset_received", "tcp_receive_reset"},
};

static int is_loaded(const char *program) {
  struct bpf_program *found = object ? bpf_object__find_program_by_name(object, program) : NULL;
  return found && bpf_program__autoload(found) && bpf_program__fd(found) >= 0;
}

static void set_version(void) {
  int is_v1 = access("/sys/fs/cgroup/cgroup.controllers", F_OK) != 0 && access("/sys/fs/cgroup/unified/cgroup.controllers", F_OK) != 0;
  struct bpf_map *map;
  bpf_object__for_each_map(map, object) {
    if (strstr(bpf_map__name(map), ".rodata") && bpf_map__value_size(map) == sizeof is_v1) bpf_map__set_initial_value(map, &is_v1, sizeof is_v1);
  }
}

// Loaded once, at the first need; a kernel that refuses is not asked again.
static int load(void) {
  if (object) return 0;
  if (load_error) return -load_error;
  object = open_object("observe");
  if (!object) return -(load_error = errno ? errno : EINVAL);
  for (size_t i = 0; i < sizeof optional / sizeof *optional; i++) {
    struct bpf_program *program = bpf_object__find_program_by_name(object, optional[i].program);
    if (libbpf_find_vmlinux_btf_id(optional[i].tracepoint, BPF_TRACE_RAW_TP) <= 0) bpf_program__set_autoload(program, false);
  }
  set_version();
  int error = bpf_object__load(object);
  if (error) {
    bpf_object__close(object);
    object = NULL;
    return -(load_error = -error);
  }
  watches_fd = bpf_object__find_map_fd_by_name(object, "watches");
  namespaces_fd = bpf_object__find_map_fd_by_name(object, "namespaces");
  return 0;
}

static void detach(void) {
  while (link_count > 0) bpf_link__destroy(links[--link_count]);
}

static int attach(void) {
  if (link_count > 0) return 0;
  struct bpf_program *program;
  bpf_object__for_each_program(program, object) {
    if (bpf_program__fd(program) < 0 || link_count == most_links) continue;
    struct bpf_link *link = bpf_program__attach(program);
    if (!link) {
      int error = errno;
      detach();
      return -error;
    }
    links[link_count++] = link;
  }
  return 0;
}

static struct watched *find(const char *name) {
  for (int i = 0; i < watched_count; i++)
    if (strcmp(watched[i].name, name) == 0) return &watched[i];
  return NULL;
}

void observe_probe(char *out, size_t size) {
  int error = load();
  if (!error) error = attach();
  if (!error && watched_count == 0) detach();
  if (error) {
    snprintf(out, size, "{\"works\":false,\"errno\":%d}", -error);
    return;
  }
  snprintf(out, size, "{\"works\":true,\"retransmits\":%s,\"resetsSent\":%s,\"resetsReceived\":%s}", is_loaded("on_retransmit") ? "true" : "false",
           is_loaded("on_reset_sent") ? "true" : "false", is_loaded("on_reset_received") ? "true" : "false");
}

// arm NAME CGROUP_DIR NAMESPACE_FILE: counts from zero, from now on.
void observe_arm(const struct command *command) {
  const char *name = command->argv[0];
  struct stat cgroup, namespace;
  if (strlen(name) >= name_size) return refuse(command, ENAMETOOLONG, "arm");
  if (stat(command->argv[1], &cgroup) < 0) return refuse(command, errno, "arm: the cgroup");
  if (stat(command->argv[2], &namespace) < 0) return refuse(command, errno, "arm: the network namespace");
  int error = load();
  if (error) return refuse(command, -error, "the kernel did not take the programs: %s", last_words());
  struct watched *one = find(name);
  if (one && one->cgroup != cgroup.st_ino) bpf_map_delete_elem(watches_fd, &one->cgroup);
  if (one && one->namespace != (uint32_t)namespace.st_ino) bpf_map_delete_elem(namespaces_fd, &one->namespace);
  if (!one) {
    if (watched_count == most_watched) return refuse(command, ENOSPC, "%d workloads are watched already", most_watched);
    one = &watched[watched_count++];
    snprintf(one->name, name_size, "%s", name);
  }
  one->cgroup = cgroup.st_ino;
  one->namespace = (uint32_t)namespace.st_ino;
  const struct watch nothing = {0};
  const struct tcp_counts none = {0};
  if (bpf_map_update_elem(watches_fd, &one->cgroup, &nothing, BPF_ANY) < 0 || bpf_map_update_elem(namespaces_fd, &one->namespace, &none, BPF_ANY) < 0)
    return refuse(command, errno, "arm");
  error = attach();
  if (error) return refuse(command, -error, "the kernel did not attach the programs: %s", last_words());
  one->armed_us = (uint64_t)now_us();
  reply(command, "\"armedUs\":%llu", (unsigned long long)one->armed_us);
}

// The upper end of the slot in which the share lies, µs; -1 when nothing was counted.
static long long percentile(const uint64_t *counts, double share) {
  uint64_t total = 0, seen = 0;
  for (int i = 0; i < delay_slots; i++) total += counts[i];
  if (total == 0) return -1;
  for (int i = 0; i < delay_slots; i++)
    if ((double)(seen += counts[i]) >= (double)total * share) return 1LL << i;
  return 1LL << (delay_slots - 1);
}

// A number, or null where it is not known.
static const char *or_null(char *out, size_t size, int is_known, long long value) {
  snprintf(out, size, is_known ? "%lld" : "null", value);
  return out;
}

// facts NAME
void observe_facts(const struct command *command) {
  struct watched *one = find(command->argv[0]);
  struct watch watch;
  struct tcp_counts counts;
  if (!one) return refuse(command, ENOENT, "facts");
  if (bpf_map_lookup_elem(watches_fd, &one->cgroup, &watch) < 0 || bpf_map_lookup_elem(namespaces_fd, &one->namespace, &counts) < 0)
    return refuse(command, errno, "facts");
  uint64_t delays[delay_slots];
  for (int i = 0; i < delay_slots; i++) delays[i] = watch.delays[i];
  long long p50 = percentile(delays, 0.5), p99 = percentile(delays, 0.99);
  char text[7][24];
  reply(command, "\"armedUs\":%llu,\"nowUs\":%lld,\"stoppedUs\":%s,\"ranUs\":%s,\"resetsSent\":%s,\"resetsReceived\":%s,\"retransmits\":%s,\"waitP50Us\":%s,\"waitP99Us\":%s",
        (unsigned long long)one->armed_us, now_us(), or_null(text[0], 24, watch.stopped_ns != 0, (long long)(watch.stopped_ns / 1000)),
        or_null(text[1], 24, watch.ran_ns != 0, (long long)(watch.ran_ns / 1000)),
        or_null(text[2], 24, is_loaded("on_reset_sent"), (long long)counts.resets_sent),
        or_null(text[3], 24, is_loaded("on_reset_received"), (long long)counts.resets_received),
        or_null(text[4], 24, is_loaded("on_retransmit"), (long long)counts.retransmits), or_null(text[5], 24, p50 >= 0, p50),
        or_null(text[6], 24, p99 >= 0, p99));
}

// drop NAME; dropping what is not watched changes nothing.
void observe_drop(const struct command *command) {
  struct watched *one = find(command->argv[0]);
  if (one) {
    bpf_map_delete_elem(watches_fd, &one->cgroup);
    bpf_map_delete_elem(namespaces_fd, &one->namespace);
    *one = watched[--watched_count];
    if (watched_count == 0) detach();
  }
  reply(command, "\"watched\":%d", watched_count);
}
