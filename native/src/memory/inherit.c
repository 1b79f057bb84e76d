// criu has the store's pages in its address space (inherited.h says where), dense blocks of them as huge pages. Three things are known of each page: its bytes in the
// store, whether criu's copy is older than these (`stale`, set by who fills the store when the bytes are whole, cleared here before they are read), and whether criu has
// any (`there`).
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
#include "headroom.h"
#include "huge.h"
#include "inherited.h"
#include "pagemap.h"
#include "report.h"
#include "wire.h"

#define BLOCK_BYTES (STORE_BLOCK_PAGES * PAGE_BYTES)

enum { idle_ms = 2 };
// What may be left to write when the workload is frozen, some 25 ms; more is put in place after the resume, through userfaultfd.
enum { late_pages = 16384 };
// The fork copies the page tables inside the freeze: an entry for each huge page (1 to 2 ms a GiB, measured), but some 37 ms a GiB of small ones. Without that a workload
// that writes waits up to 90 ms for its pages after the resume, and one that does not for next to nothing. So of small pages up to 256 MiB are always inherited, and up to 2 GiB where
// at least a 32nd of all came again while it was copied.
enum { always_pages = 65536, most_pages = 524288, written_share = 32 };
// So many of a block make it worth a huge page. The others are pages of zeros then, which the workload did not have.
enum { dense_pages = STORE_BLOCK_PAGES * 7 / 8 };
// After so many it is asked again whether there is room for the rest.
enum { weighed_pages = 16 * STORE_BLOCK_PAGES };
_Static_assert(BLOCK_BYTES == HUGE_BYTES, "a block is one huge page");
enum { SIZE_UNDECIDED, SIZE_SMALL, SIZE_HUGE };

// The words of native/criu/0006.
enum { word_here = 0x48455245, word_goes = 0x474f4553, word_done = 0x444f4e45 };
struct hello {
  uint32_t word, version;
  uint64_t start, length;
};

static struct {
  struct store *store;
  const char *charge;
  int door, event;
  atomic_ullong marked; // passes that are here, plus one
  atomic_int is_sealed, is_idle_expected;
  // Of the criu that stands.
  unsigned round;
  int client, is_whole, is_said;
  pid_t pid;
  uint64_t placed, huge_count, said, budget;
  uint64_t seen; // what had come when all blocks were looked at last: pages and passes
  struct zones zones;
  struct huge huge;
  int is_idle; // it is large, and hardly writes
  const char *declined; // why not
} in;

uint64_t inherit_pages(void) { return in.placed; }

uint64_t inherit_huge_pages(void) { return in.huge_count; }

void inherit_mark(uint64_t pass) { atomic_store(&in.marked, pass + 1); }

void inherit_expect_idle(void) { atomic_store(&in.is_idle_expected, 1); }

void inherit_sealed(void) { atomic_store(&in.is_sealed, 1); }

static uint64_t less(uint64_t whole, uint64_t part) { return whole > part ? whole - part : 0; }

static int is_set(const uint64_t *bits, unsigned page) { return (int)(bits[page / 64] >> page % 64 & 1); }

static int is_kept(const struct store_block *block, unsigned page) { return block->state[page] == (COPY_BYTES | COPY_KEPT); }

static void begin_block(struct store_block *block) {
  if (block->inherit_round == in.round) return;
  block->inherit_round = in.round;
  block->inherit_size = SIZE_UNDECIDED;
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
static const char too_little[] = "too little memory for a second copy of the workload's, on this node or within its limit";

static unsigned pages_of(const struct store_block *block) {
  unsigned pages = 0;
  for (unsigned page = 0; page < STORE_BLOCK_PAGES; page++) pages += (block->state[page] & COPY_BYTES) != 0;
  return pages;
}

// Is it one huge page, or will it be?
static int is_huge(const struct store_block *block, unsigned pages) {
  if (block->inherit_round == in.round && block->inherit_size != SIZE_UNDECIDED) return block->inherit_size == SIZE_HUGE;
  return pages >= dense_pages && huge_is_possible(&in.huge);
}

// Before anything more of a dense block is written. A failure is none: it stays as it is, in small pages.
static void choose_size(struct store_block *block) {
  if (block->inherit_size != SIZE_UNDECIDED || !is_huge(block, pages_of(block))) return;
  unsigned there = 0;
  for (int i = 0; i < STORE_BLOCK_PAGES / 64; i++) there += (unsigned)__builtin_popcountll(block->there[i]);
  uint64_t place = zones_place(&in.zones, block->space, block->number * BLOCK_BYTES);
  struct iovec from = {(void *)zeros, PAGE_BYTES}, to = {(void *)place, PAGE_BYTES};
  block->inherit_size = SIZE_SMALL;
  if (place == 0 || in.budget < STORE_BLOCK_PAGES - there) return;
  // The kernel makes none of nothing.
  if (there == 0 && process_vm_writev(in.pid, &from, 1, &to, 1, 0) != PAGE_BYTES) return;
  if (!huge_make(&in.huge, place)) return;
  if (in.is_idle && huge_is_dear(&in.huge.price)) in.declined = "it hardly writes, and huge pages are dear on this machine";
  block->inherit_size = SIZE_HUGE;
  in.budget -= STORE_BLOCK_PAGES - there;
  in.huge_count++;
}

// Writes what is new of a block. When all is sealed, also what is not kept is made what it must be: zero. The pages written, or -1.
static long place_block(struct store_block *block, int is_final) {
  static struct batch batch;
  uint64_t stale[STORE_BLOCK_PAGES / 64], place = 0;
  batch.count = batch.pages = 0;
  begin_block(block);
  if (!is_final) choose_size(block);
  if (in.declined) return -1;
  int is_paid = block->inherit_size == SIZE_HUGE;
  for (int i = 0; i < STORE_BLOCK_PAGES / 64; i++) stale[i] = __atomic_exchange_n(&block->stale[i], 0, __ATOMIC_ACQUIRE);
  for (unsigned page = 0; page < STORE_BLOCK_PAGES; page++) {
    int is_there = is_set(block->there, page);
    int is_wanted = is_final ? is_kept(block, page) : block->state[page] & COPY_BYTES;
    if (is_wanted ? !is_set(stale, page) && is_there : !is_final || !is_there) continue;
    if (!is_wanted || is_there || is_paid || in.budget > 0) {
      if (place == 0 && (place = zones_place(&in.zones, block->space, block->number * BLOCK_BYTES)) == 0) {
        in.declined = "too many processes, or too far apart";
        return -1;
      }
      add(&batch, is_wanted ? block->bytes + page * PAGE_BYTES : zeros, place + page * PAGE_BYTES);
      in.budget -= !is_there && !is_paid;
      in.placed += !is_there;
      block->there[page / 64] |= 1ull << page % 64;
      continue;
    }
    in.declined = too_little;
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

// Is there room for it, and is it worth what a fork takes for it?
static void weigh(void) {
  uint64_t known = 0, small = 0;
  struct store_block *block;
  for (uint64_t i = 0; (block = block_at(i)); i++) {
    if (block->space >= spaces_to) continue;
    unsigned pages = pages_of(block);
    known += pages;
    if (!is_huge(block, pages)) small += pages;
  }
  in.is_idle = atomic_load(&in.marked) > 1 /* what is written again comes with the second pass, for the first time */ && known > always_pages && less(in.store->received_pages, known) < known / written_share;
  if (small > most_pages || (small > always_pages && in.is_idle)) in.declined = "the copy of so large page tables would take longer than what it spares";
  in.budget = fault_is_armed("memory.inherit") ? 0 : headroom_pages(in.charge); // the store takes of it as well
  if (known > in.budget + in.placed) in.declined = too_little;
}

// All blocks once. The pages written; -1 where it is given up.
static long place_all(int is_final) {
  long pages = 0, weighed = 0;
  uint64_t marked = atomic_load(&in.marked);
  int is_first = !is_final && marked == 0, is_waiting = !is_final && marked < 2 && atomic_load(&in.is_idle_expected);
  struct store_block *block;
  for (uint64_t i = 0; (block = block_at(i)); i++) {
    if (block->space >= spaces_to || !block->bytes) continue;
    // Of the first pass more is on its way: what will be a huge page is written into one from the beginning.
    if (is_first && pages_of(block) < dense_pages) continue;
    if (is_waiting && huge_is_dear(&in.huge.price)) break;
    long now = place_block(block, is_final);
    if (now < 0) return -1;
    pages += now;
    if (!is_final && pages - weighed >= weighed_pages) {
      weigh();
      weighed = pages;
    }
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
    if (block->space >= spaces_to || !block->bytes) continue;
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

// criu goes on, and is told what it has. 1: our pages are the tasks' now.
static int answer(void) {
  if (atomic_load(&in.is_sealed)) finish();
  else in.declined = "not all is here";
  struct inherited *entries = calloc(in.store->mapping_count + 1, sizeof *entries);
  if (!entries) fail(ENOMEM, "memory-target: what is inherited");
  uint64_t count = in.declined ? 0 : inherited_mappings(in.store, &in.zones, entries, &in.declined);
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
  in.placed = in.huge_count = in.said = 0;
  in.seen = UINT64_MAX;
  in.is_whole = in.is_said = 0;
  in.declined = NULL;
  if (read_exactly(client, &hello, sizeof hello) < 0 || getsockopt(client, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0 || hello.word != word_here || hello.version != 1) {
    in.declined = "criu speaks otherwise";
    return;
  }
  in.pid = peer.pid;
  zones_begin(&in.zones, hello.start, hello.length);
  huge_begin(&in.huge, in.pid);
  weigh();
}

// Until criu has gone on, or has ended before.
static int serve(void) {
  for (;;) {
    uint64_t marked = atomic_load(&in.marked), come = __atomic_load_n(&in.store->received_pages, __ATOMIC_ACQUIRE) + marked;
    int is_sealed = atomic_load(&in.is_sealed);
    long placed = 0;
    if (is_sealed) finish();
    else if (!in.declined && come != in.seen) {
      in.seen = come;
      if ((placed = place_all(0)) >= 0) weigh();
    }
    if (in.declined && !in.is_said && !is_sealed) {
      in.is_said = 1;
      say(STDOUT_FILENO, "{\"event\":\"declined\",\"reason\":\"%s\"}", in.declined);
    }
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
    int is_taken = serve();
    huge_end(&in.huge);
    if (is_taken) {
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
  in.huge.pidfd = -1;
  in.event = eventfd(0, EFD_CLOEXEC);
  in.door = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  unlink(address.sun_path);
  if (in.event < 0 || in.door < 0 || bind(in.door, (struct sockaddr *)&address, sizeof address) < 0 || listen(in.door, 4) < 0) fail(errno, "memory-target: cannot listen for criu");
  int error = pthread_create(&thread, NULL, run, NULL);
  if (error) fail(error, "memory-target: no thread");
  return in.event;
}
