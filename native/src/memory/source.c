// memory-source: copies the memory of a workload while it runs. Its caller says when to make a pass and when the workload is frozen; the pages go out on
// a descriptor of their own, whose reader's pace is ours. When this process ends, however it ends, the workload only stops being tracked.
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "commands.h"
#include "faults.h"
#include "hide.h"
#include "object.h"
#include "options.h"
#include "report.h"
#include "round.h"

enum { max_spaces = 4096, tick_ms = 200 };

static struct space *spaces[max_spaces];
static int space_count;
static pid_t refused[max_spaces];
static int refused_count;
static struct hash_key key;
static struct wire wire;
static struct stream stream;
static const char *procs_path, *held_path;
// Between two snapshots what was written is remembered, and the next one sends only that.
static int is_standing;

// Of the pass under way, for people who watch.
static struct round_counts counts;
static long long round_number, told_ms;
static long stopped_us_max;

static double now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void tick(void) {
  double now = now_ms();
  if (now - (double)told_ms < tick_ms) return;
  told_ms = (long long)now;
  say(STDOUT_FILENO, "{\"event\":\"progress\",\"round\":%lld,\"sentPages\":%" PRIu64 ",\"bytes\":%" PRIu64 "}", round_number, counts.sent, counts.bytes);
}

static const struct space *find_space(pid_t pid) {
  for (int i = 0; i < space_count; i++)
    if (spaces[i]->pid == pid && !spaces[i]->is_gone) return spaces[i];
  return NULL;
}

static void say_forget_all(const struct space *space) {
  struct frame frame = {.kind = FRAME_FORGET, .space = space->id};
  struct iovec part = {&frame, sizeof frame};
  if (wire_write(stream.wire, &part, 1) < 0) fail(errno, "memory: the stream of pages broke");
}

static void drop_space(int index) {
  say_forget_all(spaces[index]);
  space_close(spaces[index]);
  spaces[index] = spaces[--space_count];
}

static int is_id_taken(unsigned id) {
  for (int i = 0; i < space_count; i++)
    if (spaces[i]->id == id) return 1;
  return 0;
}

// Processes come and go: new ones are tracked from now on, those that ended or became another program are forgotten.
static void refresh_spaces(void) {
  for (int i = space_count - 1; i >= 0; i--)
    if (!space_is_alive(spaces[i])) drop_space(i);
  FILE *procs = fopen(procs_path, "re");
  char line[32];
  while (procs && fgets(line, sizeof line, procs)) {
    pid_t pid = (pid_t)atoi(line);
    int is_refused = 0;
    for (int i = 0; i < refused_count; i++) is_refused |= refused[i] == pid;
    if (pid <= 0 || is_refused || find_space(pid) || space_count == max_spaces) continue;
    const char *reason = "";
    long stopped_us = 0;
    struct space *space = space_open(pid, &reason, &stopped_us);
    if (stopped_us > stopped_us_max) stopped_us_max = stopped_us;
    if (space && is_id_taken(space->id)) {
      space_close(space); // of a pid namespace inside of the workload's
      space = NULL;
      reason = "another process of the workload has the same pid in its own namespace";
    }
    if (space) {
      spaces[space_count++] = space;
      say_forget_all(space);
    } else if (refused_count < max_spaces) {
      refused[refused_count++] = pid;
      say(STDOUT_FILENO, "{\"event\":\"refused\",\"pid\":%d,\"reason\":\"%s\"}", pid, reason);
    }
  }
  if (procs) fclose(procs);
}

// Comparing all shared memory takes its time: in passes that only keep things fresh it has this share of it at most.
enum { fresh_share = 8 };
static double objects_took_ms, objects_ended_ms;

static void compare_objects(void) {
  objects_took_ms = objects_live(&stream, &counts);
  objects_ended_ms = now_ms();
}

static void live_round(int is_fresh) {
  double began = now_ms();
  counts = (struct round_counts){0};
  told_ms = (long long)began;
  refresh_spaces();
  double refreshed = now_ms();
  if (wire_is_over(&wire)) fail(EPIPE, "memory: the target's end of the stream is gone");
  size_t tracked = 0;
  uint64_t mapped = 0;
  // First what takes long: what is tracked is then as fresh as can be when the pass ends. The first pass does not know them yet.
  int is_known = objects_known();
  if (is_known && (!is_fresh || now_ms() - objects_ended_ms > objects_took_ms * fresh_share)) compare_objects();
  objects_begin();
  for (int i = space_count - 1; i >= 0; i--) {
    if (round_live(spaces[i], &stream, &counts) < 0) {
      drop_space(i); // it executed another program, which the next pass finds
      continue;
    }
    tracked += spaces[i]->tracked.count;
    for (size_t k = 0; k < spaces[i]->tracked.count; k++) mapped += spaces[i]->tracked.items[k].end - spaces[i]->tracked.items[k].start;
  }
  objects_end(&stream);
  if (!is_known && objects_known()) compare_objects();
  struct frame mark = {.kind = FRAME_MARK, .address = (uint64_t)round_number};
  struct iovec part = {&mark, sizeof mark};
  if (wire_write(stream.wire, &part, 1) < 0 || wire_flush(&wire) < 0) fail(errno, "memory: the stream of pages broke");
  say(STDOUT_FILENO,
      "{\"event\":\"round\",\"number\":%lld,\"ms\":%.3f,\"attachMs\":%.3f,\"writtenPages\":%" PRIu64 ",\"sentPages\":%" PRIu64 ",\"zeroPages\":%" PRIu64 ",\"unchangedPages\":%" PRIu64
      ",\"lostPages\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"wireBytes\":%" PRIu64 ",\"linkMs\":%.3f,\"spaces\":%d,\"mappings\":%zu,\"mappedBytes\":%" PRIu64
      ",\"refused\":%d,\"comparedPages\":%" PRIu64 ",\"stoppedMs\":%.3f}",
      round_number++, now_ms() - began, refreshed - began, counts.written, counts.sent, counts.zero, counts.unchanged, counts.lost, counts.bytes, wire_bytes(&wire),
      wire_link_ms(&wire), space_count, tracked, mapped, refused_count, counts.compared, (double)stopped_us_max / 1e3);
}

enum { look_ms = 200 };

// How fast it writes, for telemetry. Standing alone: nobody else can look while we track.
static void look(void) {
  uint64_t pages = 0;
  refresh_spaces();
  for (int i = 0; i < space_count; i++) round_look(spaces[i], &key);
  double began = now_ms();
  usleep(look_ms * 1000);
  for (int i = 0; i < space_count; i++) pages += round_written(spaces[i]);
  say(STDOUT_FILENO, "{\"event\":\"rate\",\"bytesPerSecond\":%.0f}", (double)(pages * PAGE_BYTES) / (now_ms() - began) * 1e3);
}

static void say_space(unsigned id, uint64_t pages, hash_t digest) {
  say(STDOUT_FILENO, "{\"event\":\"space\",\"space\":%u,\"pages\":%" PRIu64 ",\"digest\":\"%016" PRIx64 "%016" PRIx64 "\"}", id, pages, (uint64_t)(digest >> 64), (uint64_t)digest);
}

// The workload goes on, and so do we: the reader keeps what it was told to keep, and nothing else is known of what it has.
static void go_on(void) {
  for (int i = space_count - 1; i >= 0; i--) {
    if (spaces[i]->is_gone) drop_space(i); // criu carried it, whatever was sent
    else space_forget_but_kept(spaces[i], &key);
  }
  objects_go_on(&key);
  stream.tick = tick;
}

// The workload is frozen: from the line "frozen" on, criu may dump; "sealed" follows when everything is on its way to the target.
static void final_round(void) {
  static struct range_list last[max_spaces];
  double began = now_ms();
  uint64_t kept_pages = 0, all_kept = 0;
  counts = (struct round_counts){0};
  stream.tick = NULL;
  objects_begin();
  for (int i = 0; i < space_count; i++) {
    if (round_frozen_scan(spaces[i], &stream, &last[i], &counts) < 0) {
      spaces[i]->is_gone = 1;
      spaces[i]->kept.count = spaces[i]->hidden.count = last[i].count = 0;
    }
    for (size_t k = 0; k < spaces[i]->kept.count; k++) kept_pages += (spaces[i]->kept.items[k].end - spaces[i]->kept.items[k].start) / PAGE_BYTES;
  }
  objects_hide();
  if (held_path) hide_write(held_path, spaces, space_count);
  say(STDOUT_FILENO, "{\"event\":\"frozen\",\"ms\":%.3f,\"keptPages\":%" PRIu64 ",\"lastPages\":%" PRIu64 "}", now_ms() - began, kept_pages, counts.written);
  uint32_t sealed = 0;
  for (int i = 0; i < space_count; i++) {
    if (spaces[i]->is_gone) continue;
    hash_t digest;
    uint64_t kept;
    if (round_frozen_send(spaces[i], &last[i], &stream, &counts, &digest, &kept) < 0) fail(EIO, "memory: process %d: a page that was promised cannot be read", spaces[i]->pid);
    sealed++;
    all_kept += kept;
    say_space(spaces[i]->id, kept, digest);
  }
  uint64_t shared_pages = 0;
  int shared = objects_frozen(&stream, &counts, &shared_pages, say_space);
  if (shared < 0) fail(EIO, "memory: shared memory that was promised cannot be read");
  sealed += (uint32_t)shared;
  all_kept += shared_pages;
  struct frame end = {.kind = FRAME_END, .pages = sealed};
  struct iovec part = {&end, sizeof end};
  if (wire_write(stream.wire, &part, 1) < 0 || wire_flush(&wire) < 0) fail(errno, "memory: the stream of pages broke");
  uint64_t on_wire = wire_bytes(&wire);
  if (!is_standing) wire_close(&wire);
  say(STDOUT_FILENO,
      "{\"event\":\"sealed\",\"ms\":%.3f,\"keptPages\":%" PRIu64 ",\"lastPages\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"wireBytes\":%" PRIu64 ",\"sharedPages\":%" PRIu64
      ",\"comparedPages\":%" PRIu64 "}",
      now_ms() - began, all_kept, counts.written, counts.bytes, on_wire, shared_pages, counts.compared);
}

// A limit of the workload's CPU that our caller may change while we run. It dies: we end, and leave it as it was.
static const char *quota_path;
static char quota_before[64];

static void restore_quota(void) {
  int fd = open(quota_path, O_WRONLY | O_CLOEXEC);
  if (fd >= 0 && write(fd, quota_before, strlen(quota_before)) < 0) say(STDERR_FILENO, "{\"event\":\"note\",\"reason\":\"the CPU quota cannot be restored\"}");
  if (fd >= 0) close(fd);
}

static void keep_quota(void) {
  int fd = open(quota_path, O_RDONLY | O_CLOEXEC);
  ssize_t got = fd < 0 ? -1 : read(fd, quota_before, sizeof quota_before - 1);
  if (got <= 0) fail(errno, "memory-source: --cpu-quota %s", quota_path);
  close(fd);
  atexit(restore_quota);
}

int memory_source_command(int argc, char **argv) {
  long long data_fd = -1, is_sharing = 0, is_handed = 0, standing = 0;
  const char *answers = NULL;
  const struct option_spec specs[] = {
      {.name = "procs", .text = &procs_path, .is_required = 1},
      {.name = "answers", .text = &answers, .is_required = 1},
      {.name = "held", .text = &held_path},
      {.name = "cpu-quota", .text = &quota_path},
      {.name = "shared", .number = &is_sharing, .min = 0, .max = 1},
      {.name = "standing", .number = &standing, .min = 0, .max = 1},
      {.name = "handed", .number = &is_handed, .min = 0, .max = 1},
      {.name = "data-fd", .number = &data_fd, .min = 3, .max = 1023, .is_required = 1},
  };
  parse_options("memory-source", argc, argv, specs, sizeof specs / sizeof *specs);
  if (sysconf(_SC_PAGESIZE) != PAGE_BYTES) fail(0, "memory-source: this kernel's pages have %ld bytes, not %llu", sysconf(_SC_PAGESIZE), PAGE_BYTES);
  is_standing = (int)standing;
  fcntl((int)data_fd, F_SETFD, FD_CLOEXEC);
  const char *reason;
  if (wire_open(&wire, (int)data_fd, (int)is_handed, &reason) < 0) fail(0, "memory-source: %s", reason);
  hash_key_make(&key);
  stream = (struct stream){.wire = &wire, .key = &key, .tick = tick, .is_flipping = fault_is_armed("memory.flip"), .is_sharing = (int)is_sharing};
  struct frame first = {.kind = FRAME_KEY, .address = WIRE_VERSION, .pages = HASH_KEY_WORDS};
  struct iovec parts[] = {{&first, sizeof first}, {key.words, sizeof key.words}};
  if (wire_write(stream.wire, parts, 2) < 0) fail(errno, "memory-source: --data-fd");
  hide_listen(answers, find_space);
  if (quota_path) keep_quota();
  refresh_spaces();
  if (space_count == 0) fail(0, "memory-source: no process of the workload can be tracked");
  say(STDOUT_FILENO, "{\"event\":\"ready\",\"spaces\":%d,\"refused\":%d,\"stoppedMs\":%.3f}", space_count, refused_count, (double)stopped_us_max / 1e3);
  char line[64];
  int is_final = 0;
  while (fgets(line, sizeof line, stdin)) {
    if (strcmp(line, "round\n") == 0 && !is_final) {
      live_round(0);
    } else if (strcmp(line, "fresh\n") == 0 && !is_final) {
      live_round(1);
    } else if (strcmp(line, "frozen\n") == 0 && !is_final) {
      is_final = 1;
      final_round();
      if (is_standing) go_on();
      is_final = !is_standing;
    } else if (strcmp(line, "look\n") == 0 && is_standing) {
      look();
    } else if (strcmp(line, "status\n") == 0) {
      unsigned long asked, hidden;
      hide_counts(&asked, &hidden);
      say(STDOUT_FILENO, "{\"event\":\"status\",\"answers\":%lu,\"hiddenPages\":%lu}", asked, hidden);
    } else {
      fail(0, "memory-source: unknown command");
    }
  }
  return 0;
}
