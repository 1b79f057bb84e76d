// A process at a time has the store's pages in its address space, 16 GiB of each of the workload's processes in one zone of criu's range, at the same offset within 2 MiB
// as in the workload, so that criu moves them with mremap by whole page tables. Three things are known of each page: its bytes in the store, whether criu's copy is
// older than these (`stale`, set by who fills the store when the bytes are whole, cleared here before they are read), and whether criu has any (`there`).
#include "inherit.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "faults.h"
#include "pagemap.h"
#include "report.h"
#include "wire.h"

#define BLOCK_BYTES (STORE_BLOCK_PAGES * PAGE_BYTES)
#define ZONE_BYTES (1ull << 34)
#define GIB (1ull << 30)
enum { max_zones = 512, objects_from = 0x80000000u, idle_ms = 2 };
// What may be left to write when the workload is frozen, some 25 ms; more is put in place after the resume, through userfaultfd.
enum { late_pages = 16384 };
// Each is cut out of criu's range, and a process may have 65,530 mappings (vm.max_map_count).
enum { max_mappings = 16384 };
// The fork copies the page tables, some 37 ms a GiB (measured, pages of 4 KiB), inside the freeze. Without it a workload that writes waits up to 90 ms for its pages after the
// resume, and one that does not for next to nothing. So up to 256 MiB are always inherited, and up to 2 GiB where at least a 32nd of it came again while it was copied.
enum { always_pages = 65536, most_pages = 524288, written_share = 32 };
// Of both the node's memory and the workload's limit this much stays free.
#define SPARE_BYTES (64ull << 20)

// The words of native/criu/0006.
enum { word_here = 0x48455245, word_goes = 0x474f4553, word_done = 0x444f4e45 };
struct hello {
  uint32_t word, version;
  uint64_t start, length;
};
struct entry {
  uint32_t space, unused;
  uint64_t start, end, place;
};

struct zone {
  uint32_t space;
  uint64_t number; // address / ZONE_BYTES
};

static struct {
  struct store *store;
  const char *charge;
  int door, event;
  atomic_ullong marked; // passes that are here, plus one
  atomic_int is_sealed;
  // Of the criu that stands.
  unsigned round;
  int client, is_whole;
  pid_t pid;
  uint64_t base, slots, placed, said, budget;
  const char *declined; // why not
  struct zone zones[max_zones];
  unsigned zone_count;
} in;

uint64_t inherit_pages(void) { return in.placed; }

void inherit_mark(uint64_t pass) { atomic_store(&in.marked, pass + 1); }

void inherit_sealed(void) { atomic_store(&in.is_sealed, 1); }

// Where a page of a space lies in criu; 0 where there is no zone left for it.
static uint64_t place_of(uint32_t space, uint64_t address) {
  uint64_t number = address / ZONE_BYTES;
  unsigned i = 0;
  while (i < in.zone_count && (in.zones[i].space != space || in.zones[i].number != number)) i++;
  if (i == in.zone_count) {
    if (i == max_zones || i >= in.slots) return 0;
    in.zones[in.zone_count++] = (struct zone){space, number};
  }
  return in.base + i * ZONE_BYTES + address % ZONE_BYTES;
}

// A number from a file with others: what follows `name`, or the file's only one. UINT64_MAX where it has none ("max").
static uint64_t number_in(const char *path, const char *name) {
  char line[256];
  uint64_t value = UINT64_MAX;
  FILE *file = fopen(path, "re");
  while (file && fgets(line, sizeof line, file)) {
    size_t skip = strlen(name);
    if (strncmp(line, name, skip) != 0) continue;
    if (sscanf(line + skip, " %" SCNu64, &value) != 1) value = UINT64_MAX;
    break;
  }
  if (file) fclose(file);
  return value;
}

static uint64_t less(uint64_t whole, uint64_t part) { return whole > part ? whole - part : 0; }

// How many pages may be written: they are there twice until the restore, once here and once as the workload's, which pays for its own.
static uint64_t room(void) {
  uint64_t bytes = less(number_in("/proc/meminfo", "MemAvailable:") * 1024, SPARE_BYTES + number_in("/proc/meminfo", "MemTotal:") * 1024 / 32);
  const char *const names[][2] = {{"memory.max", "memory.current"}, {"memory.limit_in_bytes", "memory.usage_in_bytes"}};
  char paths[2][4096];
  const char *end = in.charge ? strrchr(in.charge, '/') : NULL;
  for (int i = 0; end && i < 2; i++) {
    for (int k = 0; k < 2; k++) snprintf(paths[k], sizeof paths[k], "%.*s/%s", (int)(end - in.charge), in.charge, names[i][k]);
    uint64_t limit = number_in(paths[0], ""), used = number_in(paths[1], "");
    if (limit == UINT64_MAX || used == UINT64_MAX) continue;
    uint64_t left = less(limit, used + SPARE_BYTES / 4);
    if (left < bytes) bytes = left;
  }
  return bytes / PAGE_BYTES;
}

static int is_set(const uint64_t *bits, unsigned page) { return (int)(bits[page / 64] >> page % 64 & 1); }

static int is_kept(const struct store_block *block, unsigned page) { return block->state[page] == (COPY_BYTES | COPY_KEPT); }

static void begin_block(struct store_block *block) {
  if (block->inherit_round == in.round) return;
  block->inherit_round = in.round;
  memset(block->there, 0, sizeof block->there);
  for (int i = 0; i < STORE_BLOCK_PAGES / 64; i++) __atomic_store_n(&block->stale[i], UINT64_MAX, __ATOMIC_RELAXED);
}

struct batch {
  struct iovec from[STORE_BLOCK_PAGES], to[STORE_BLOCK_PAGES];
  unsigned count, pages;
};

static void add(struct batch *batch, const char *bytes, uint64_t place) {
  struct iovec *from = &batch->from[batch->count], *to = &batch->to[batch->count];
  batch->pages++;
  if (batch->count > 0 && (char *)from[-1].iov_base + from[-1].iov_len == bytes && (uint64_t)to[-1].iov_base + to[-1].iov_len == place) {
    from[-1].iov_len += PAGE_BYTES;
    to[-1].iov_len += PAGE_BYTES;
    return;
  }
  *from = (struct iovec){(void *)bytes, PAGE_BYTES};
  *to = (struct iovec){(void *)place, PAGE_BYTES};
  batch->count++;
}

static const char zeros[PAGE_BYTES];

// Writes what is new of a block. When all is sealed, also what is not kept is made what it must be: zero. The pages written, or -1.
static long place_block(struct store_block *block, int is_final) {
  static struct batch batch;
  uint64_t stale[STORE_BLOCK_PAGES / 64], place = 0;
  batch.count = batch.pages = 0;
  begin_block(block);
  for (int i = 0; i < STORE_BLOCK_PAGES / 64; i++) stale[i] = __atomic_exchange_n(&block->stale[i], 0, __ATOMIC_ACQUIRE);
  for (unsigned page = 0; page < STORE_BLOCK_PAGES; page++) {
    int is_there = is_set(block->there, page);
    int is_wanted = is_final ? is_kept(block, page) : block->state[page] & COPY_BYTES;
    if (is_wanted ? !is_set(stale, page) && is_there : !is_final || !is_there) continue;
    if (!is_wanted || is_there || in.budget > 0) {
      if (place == 0 && (place = place_of(block->space, block->number * BLOCK_BYTES)) == 0) {
        in.declined = "too many processes, or too far apart";
        return -1;
      }
      add(&batch, is_wanted ? block->bytes + page * PAGE_BYTES : zeros, place + page * PAGE_BYTES);
      in.budget -= !is_there;
      in.placed += !is_there;
      block->there[page / 64] |= 1ull << page % 64;
      continue;
    }
    in.declined = "too little memory for a second copy of the workload's, on this node or within its limit";
    return -1;
  }
  if (batch.count > 0 && process_vm_writev(in.pid, batch.from, batch.count, batch.to, batch.count, 0) != (ssize_t)(batch.pages * PAGE_BYTES)) {
    in.declined = errno == EPERM ? "this user may not write into criu" : "criu's memory cannot be written";
    return -1;
  }
  return (long)batch.pages;
}

static struct store_block *block_at(uint64_t i) {
  pthread_mutex_lock(&in.store->growing);
  struct store_block *block = i < in.store->count ? in.store->all[i] : NULL;
  pthread_mutex_unlock(&in.store->growing);
  return block;
}

// All blocks once. The pages written; -1 where it is given up.
static long place_all(int is_final) {
  long pages = 0;
  struct store_block *block;
  for (uint64_t i = 0; (block = block_at(i)); i++) {
    if (block->space >= objects_from || !block->bytes) continue;
    long now = place_block(block, is_final);
    if (now < 0) return -1;
    pages += now;
    // The workload is frozen, and nobody has time any more for so much.
    if (!is_final && atomic_load(&in.is_sealed)) return pages;
  }
  return pages;
}

// Sealed: what is still to be written.
static uint64_t pages_late(void) {
  uint64_t pages = 0;
  for (uint64_t i = 0; i < in.store->count; i++) {
    struct store_block *block = in.store->all[i];
    if (block->space >= objects_from || !block->bytes) continue;
    begin_block(block);
    for (unsigned page = 0; page < STORE_BLOCK_PAGES; page++) pages += is_kept(block, page) && (is_set(block->stale, page) || !is_set(block->there, page));
  }
  return pages;
}

static void finish(void) {
  if (in.declined || in.is_whole) return;
  if (pages_late() > late_pages) in.declined = "it was not done when the workload was frozen";
  else if (place_all(1) >= 0) in.is_whole = 1;
}

static int by_place(const void *a, const void *b) {
  const struct store_block *x = *(struct store_block *const *)a, *y = *(struct store_block *const *)b;
  if (x->space != y->space) return x->space < y->space ? -1 : 1;
  return x->number < y->number ? -1 : x->number > y->number;
}

// Kept pages of a mapping; `blocks` are in order.
static uint64_t kept_in(struct store_block *const *blocks, uint64_t count, const struct mapping *mapping) {
  uint64_t low = 0, high = count, pages = 0;
  while (low < high) {
    uint64_t middle = (low + high) / 2;
    const struct store_block *block = blocks[middle];
    if (block->space < mapping->space || (block->space == mapping->space && (block->number + 1) * BLOCK_BYTES <= mapping->start)) low = middle + 1;
    else high = middle;
  }
  for (; low < count && blocks[low]->space == mapping->space && blocks[low]->number * BLOCK_BYTES < mapping->end; low++)
    for (unsigned page = 0; page < STORE_BLOCK_PAGES; page++) {
      uint64_t address = blocks[low]->number * BLOCK_BYTES + page * PAGE_BYTES;
      pages += address >= mapping->start && address < mapping->end && is_kept(blocks[low], page);
    }
  return pages;
}

// Is the whole of a mapping where its beginning is?
static int is_in_one_piece(const struct mapping *mapping, uint64_t place) {
  for (uint64_t at = mapping->start / ZONE_BYTES + 1; at * ZONE_BYTES < mapping->end; at++)
    if (place_of(mapping->space, at * ZONE_BYTES) != place + (at * ZONE_BYTES - mapping->start)) return 0;
  return 1;
}

// Which mappings criu finds where. Every kept page must be in one of them, or nothing is inherited at all.
static uint64_t table(struct entry *entries) {
  uint64_t count = 0, pages = 0, kept = 0, block_count = in.store->count;
  struct store_block **blocks = malloc((block_count + 1) * sizeof *blocks);
  if (!blocks) fail(ENOMEM, "memory-target: what is inherited");
  memcpy(blocks, in.store->all, block_count * sizeof *blocks);
  qsort(blocks, block_count, sizeof *blocks, by_place);
  for (uint64_t i = 0; i < in.store->mapping_count && !in.declined; i++) {
    const struct mapping *mapping = &in.store->mappings[i];
    uint64_t here = mapping->space >= objects_from ? 0 : kept_in(blocks, block_count, mapping), place = here > 0 ? place_of(mapping->space, mapping->start) : 0;
    if (here == 0) continue;
    if (place == 0 || !is_in_one_piece(mapping, place)) in.declined = "a mapping is not in one piece";
    entries[count++] = (struct entry){mapping->space, 0, mapping->start, mapping->end, place};
    pages += here;
  }
  for (uint64_t i = 0; i < block_count; i++)
    for (unsigned page = 0; blocks[i]->space < objects_from && page < STORE_BLOCK_PAGES; page++) kept += is_kept(blocks[i], page);
  free(blocks);
  if (!in.declined && pages != kept) in.declined = "a page is in no mapping";
  if (!in.declined && count > max_mappings) in.declined = "too many mappings";
  return in.declined ? 0 : count;
}

// criu goes on, and is told what it has. 1: our pages are the tasks' now.
static int answer(void) {
  if (atomic_load(&in.is_sealed)) finish();
  else in.declined = "not all is here";
  struct entry *entries = calloc(in.store->mapping_count + 1, sizeof *entries);
  if (!entries) fail(ENOMEM, "memory-target: what is inherited");
  uint64_t count = in.declined ? 0 : table(entries);
  int is_told = write_all(in.client, &count, sizeof count) == 0 && write_all(in.client, entries, count * sizeof *entries) == 0;
  free(entries);
  if (!is_told) return 0;
  if (count > 0) return 1;
  say(STDOUT_FILENO, "{\"event\":\"note\",\"reason\":\"memory is not inherited: %s\"}", in.declined ? in.declined : "there is none");
  return 0;
}

static void meet(int client) {
  struct hello hello;
  struct ucred peer;
  socklen_t length = sizeof peer;
  in.client = client;
  in.round++;
  in.zone_count = 0;
  in.placed = in.said = 0;
  in.is_whole = 0;
  in.declined = NULL;
  if (read_exactly(client, &hello, sizeof hello) < 0 || getsockopt(client, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0 || hello.word != word_here || hello.version != 1) {
    in.declined = "criu speaks otherwise";
    return;
  }
  in.pid = peer.pid;
  in.base = (hello.start + GIB - 1) / GIB * GIB;
  in.slots = less(hello.start + hello.length, in.base) / ZONE_BYTES;
  in.budget = fault_is_armed("memory.inherit") ? 0 : room();
  uint64_t known = 0;
  struct store_block *block;
  for (uint64_t i = 0; (block = block_at(i)); i++)
    for (unsigned page = 0; block->space < objects_from && page < STORE_BLOCK_PAGES; page++) known += (block->state[page] & COPY_BYTES) != 0;
  uint64_t again = less(in.store->received_pages, known);
  if (known > most_pages || (known > always_pages && again < known / written_share)) in.declined = "the copy of so large page tables would take longer than what it spares";
  if (known > in.budget) in.declined = "too little memory for a second copy of the workload's, on this node or within its limit";
}

// Until criu has gone on, or has ended before.
static int serve(void) {
  for (;;) {
    uint64_t marked = atomic_load(&in.marked);
    int is_sealed = atomic_load(&in.is_sealed);
    long placed = 0;
    if (is_sealed) finish();
    else if (!in.declined) placed = place_all(0);
    if (marked > in.said && (in.declined || !atomic_load(&in.is_sealed))) { // sealed meanwhile: not all blocks were looked at
      in.said = marked;
      say(STDOUT_FILENO, "{\"event\":\"placed\",\"number\":%" PRIu64 ",\"isDeclined\":%s}", marked - 1, in.declined ? "true" : "false");
    }
    struct pollfd at = {.fd = in.client, .events = POLLIN};
    if (poll(&at, 1, is_sealed ? -1 : placed > 0 ? 0 : idle_ms) <= 0) continue;
    uint32_t word;
    if (read_exactly(in.client, &word, sizeof word) < 0 || word != word_goes) return 0;
    return answer();
  }
}

static void *run(void *argument) {
  (void)argument;
  for (;;) {
    int client = accept4(in.door, NULL, NULL, SOCK_CLOEXEC);
    if (client < 0) continue;
    meet(client);
    say(STDOUT_FILENO, "{\"event\":\"standing\"}");
    if (serve()) {
      uint32_t word;
      eventfd_t end = read_exactly(client, &word, sizeof word) == 0 && word == word_done ? INHERIT_DONE : INHERIT_LOST;
      if (eventfd_write(in.event, end) < 0) fail(errno, "memory-target: eventfd");
      return NULL;
    }
    close(client);
  }
}

int inherit_begin(struct store *store, const char *charge) {
  struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "inherit.socket"};
  pthread_t thread;
  in.store = store;
  in.charge = charge;
  in.event = eventfd(0, EFD_CLOEXEC);
  in.door = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  unlink(address.sun_path);
  if (in.event < 0 || in.door < 0 || bind(in.door, (struct sockaddr *)&address, sizeof address) < 0 || listen(in.door, 4) < 0) fail(errno, "memory-target: cannot listen for criu");
  int error = pthread_create(&thread, NULL, run, NULL);
  if (error) fail(error, "memory-target: no thread");
  return in.event;
}
