#include "fill.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "pagemap.h"
#include "report.h"

// Putting a page in place takes one to two microseconds, and nobody is heard meanwhile: while threads keep asking, no step may be long. A thread gets its one page at
// once; what lies beside that comes next, before all else.
enum { step_pages = 64, step_pages_asked = 8, beside_pages = 15, asked_ms = 2 };
static double asked_until_ms;
#define BLOCK_BYTES (STORE_BLOCK_PAGES * PAGE_BYTES)

struct fill_counts fill_counts;
void (*fill_on_block_done)(const struct fill *fill, uint64_t number);
static int is_running;

void fill_process_runs(void) { is_running = 1; }

static double now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static int by_number(const void *a, const void *b) {
  const struct need *x = a, *y = b;
  return x->number < y->number ? -1 : x->number > y->number;
}

static struct need *need_of(const struct fill *fill, uint64_t origin) {
  struct need key = {.number = origin / BLOCK_BYTES};
  return bsearch(&key, fill->state->needs, fill->state->need_count, sizeof key, by_number);
}

static int is_needed(const struct need *need, unsigned page) { return (int)(need->bits[page / 64] >> page % 64 & 1); }

static void set_done(struct fill *fill, uint64_t origin, uint64_t pages) {
  for (; pages > 0; pages--, origin += PAGE_BYTES) {
    struct need *need = need_of(fill, origin);
    unsigned page = (unsigned)(origin / PAGE_BYTES % STORE_BLOCK_PAGES);
    if (!need || !is_needed(need, page)) continue;
    need->bits[page / 64] &= ~(1ull << page % 64);
    fill->state->pages_left--;
  }
}

// Where the bytes of a page are: criu's image has what was dumped, the store what came before. NULL: the page is zero. *pages: how many follow at once.
static const char *content_of(const struct fill *fill, uint64_t origin, uint64_t *pages) {
  uint64_t low = 0, high = fill->image.count;
  while (low < high) {
    uint64_t middle = (low + high) / 2;
    const struct image_run *run = &fill->image.runs[middle];
    if (run->address + run->pages * PAGE_BYTES <= origin) low = middle + 1;
    else high = middle;
  }
  uint64_t bound = STORE_BLOCK_PAGES - origin / PAGE_BYTES % STORE_BLOCK_PAGES;
  if (low < fill->image.count) {
    const struct image_run *run = &fill->image.runs[low];
    if (run->address <= origin) {
      uint64_t skip = (origin - run->address) / PAGE_BYTES;
      *pages = run->pages - skip < bound ? run->pages - skip : bound;
      return run->bytes + skip * PAGE_BYTES;
    }
    if ((run->address - origin) / PAGE_BYTES < bound) bound = (run->address - origin) / PAGE_BYTES;
  }
  const struct store_block *block = store_find(fill->store, fill->id, origin);
  unsigned first = (unsigned)(origin / PAGE_BYTES % STORE_BLOCK_PAGES);
  *pages = 0;
  if (!block) return NULL;
  while (*pages < bound && block->state[first + *pages] == (COPY_BYTES | COPY_KEPT)) ++*pages;
  return *pages > 0 ? block->bytes + first * PAGE_BYTES : NULL;
}

// Where a page lay at the dump, and where it lies now.
static uint64_t origin_of(const struct fill *fill, uint64_t address) {
  for (uint32_t i = fill->state->move_count; i-- > 0;) {
    const struct moved *moved = &fill->state->moves[i];
    if (address >= moved->to && address < moved->to + moved->length) address = address - moved->to + moved->from;
  }
  return address;
}

static uint64_t place_of(const struct fill *fill, uint64_t origin) {
  for (uint32_t i = 0; i < fill->state->move_count; i++) {
    const struct moved *moved = &fill->state->moves[i];
    if (origin >= moved->from && origin < moved->from + moved->length) origin = origin - moved->from + moved->to;
  }
  return origin;
}

// Puts up to `pages` pages in place. `is_awaited`: a thread waits for the first one, needed or not. 0: done, or there already; -1: no such mapping (yet); -2: failed.
static int put(struct fill *fill, uint64_t origin, uint64_t pages, const char *bytes, int is_awaited) {
  while (pages > 0) {
    uint64_t now = fill->state->move_count == 0 ? pages : 1; // moved pages need not lie side by side
    struct uffdio_copy copy = {.dst = place_of(fill, origin), .src = (uint64_t)bytes, .len = now * PAGE_BYTES};
    int result = ioctl(fill->uffd, UFFDIO_COPY, &copy);
    uint64_t put_pages = result == 0 ? now : copy.copy > 0 ? (uint64_t)copy.copy / PAGE_BYTES : 0;
    if (put_pages > 0) {
      set_done(fill, origin, put_pages);
      fill_counts.filled_pages += put_pages;
      origin += put_pages * PAGE_BYTES;
      bytes += put_pages * PAGE_BYTES;
      pages -= put_pages;
      continue;
    }
    if (errno == EAGAIN) {
      // The process is changing its mappings, and waits for us to hear of it.
      if (fill_events(fill) < 0) return -2;
      // What we were about to put in place may be gone or elsewhere.
      const struct need *need = need_of(fill, origin);
      if (is_awaited) continue;
      if (!need || !is_needed(need, (unsigned)(origin / PAGE_BYTES % STORE_BLOCK_PAGES))) return 0;
      continue;
    }
    if (errno == EEXIST) {
      struct uffdio_range wake = {copy.dst, PAGE_BYTES};
      ioctl(fill->uffd, UFFDIO_WAKE, &wake);
      set_done(fill, origin, 1);
      origin += PAGE_BYTES;
      bytes += PAGE_BYTES;
      pages--;
      continue;
    }
    if (errno == ENOENT && now > 1) {
      pages = now / 2; // reaches over the end of a mapping: the rest comes later
      continue;
    }
    if (errno == ENOENT && is_running) {
      set_done(fill, origin, 1); // unmapped by the process: nobody will miss it
      return 0;
    }
    if (errno == ESRCH) {
      fill->state->pages_left = 0; // the process has ended
      memset(fill->state->needs, 0, fill->state->need_count * sizeof *fill->state->needs);
      return 0;
    }
    return errno == ENOENT ? -1 : -2;
  }
  return 0;
}

// A block in which the workload wrote much is one that it will ask for first: what all its requests go through (tables, headers of objects) lies densely together.
struct heat {
  uint64_t written, index;
};

static int hottest_first(const void *a, const void *b) {
  const struct heat *x = a, *y = b;
  return x->written > y->written ? -1 : x->written < y->written;
}

static struct need *add_need(struct fill *fill, uint64_t number) {
  struct fill_state *state = fill->state;
  state->needs[state->need_count] = (struct need){.number = number};
  return &state->needs[state->need_count++];
}

// Which pages must be put in place: all of the image's, and those kept in the store whose bytes are not zero.
static void collect(struct fill *fill) {
  const struct store *store = fill->store;
  uint64_t most = 0;
  for (uint64_t i = 0; i < store->count; i++) most += store->all[i]->space == fill->id;
  for (uint64_t i = 0; i < fill->image.count; i++) most += fill->image.runs[i].pages / STORE_BLOCK_PAGES + 2;
  fill->state_bytes = sizeof *fill->state + most * sizeof(struct need);
  fill->state = mmap(NULL, fill->state_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (fill->state == MAP_FAILED) fail(errno, "memory: the state of a process");
  for (uint64_t i = 0; i < store->count; i++)
    if (store->all[i]->space == fill->id) add_need(fill, store->all[i]->number);
  qsort(fill->state->needs, fill->state->need_count, sizeof(struct need), by_number);
  for (uint64_t i = 0; i < fill->image.count; i++) {
    uint64_t at = fill->image.runs[i].address, end = at + fill->image.runs[i].pages * PAGE_BYTES;
    for (at = at / BLOCK_BYTES * BLOCK_BYTES; at < end; at += BLOCK_BYTES)
      if (!need_of(fill, at)) {
        add_need(fill, at / BLOCK_BYTES);
        qsort(fill->state->needs, fill->state->need_count, sizeof(struct need), by_number);
      }
  }
  struct heat *heat = malloc((fill->state->need_count + 1) * sizeof *heat);
  fill->order = malloc((fill->state->need_count + 1) * sizeof *fill->order);
  if (!heat || !fill->order) fail(ENOMEM, "memory: the order of pages");
  for (uint64_t i = 0; i < fill->state->need_count; i++) {
    struct need *need = &fill->state->needs[i];
    const struct store_block *block = store_find(store, fill->id, need->number * BLOCK_BYTES);
    for (unsigned page = 0; block && page < STORE_BLOCK_PAGES; page++)
      if (block->state[page] == (COPY_BYTES | COPY_KEPT)) need->bits[page / 64] |= 1ull << page % 64;
    heat[i] = (struct heat){block ? block->heat : 0, i};
  }
  for (uint64_t i = 0; i < fill->image.count; i++)
    for (uint64_t k = 0; k < fill->image.runs[i].pages; k++) {
      uint64_t at = fill->image.runs[i].address + k * PAGE_BYTES;
      struct need *need = need_of(fill, at);
      unsigned page = (unsigned)(at / PAGE_BYTES % STORE_BLOCK_PAGES);
      need->bits[page / 64] |= 1ull << page % 64;
      heat[need - fill->state->needs].written = UINT64_MAX;
    }
  qsort(heat, fill->state->need_count, sizeof *heat, hottest_first);
  for (uint64_t i = 0; i < fill->state->need_count; i++) {
    fill->order[i] = heat[i].index;
    for (unsigned k = 0; k < STORE_BLOCK_PAGES / 64; k++) fill->state->pages_left += (uint64_t)__builtin_popcountll(fill->state->needs[i].bits[k]);
  }
  free(heat);
}

struct fill *fill_open(const struct store *store, uint32_t id, int uffd, const char **reason) {
  struct fill *fill = calloc(1, sizeof *fill);
  if (!fill) fail(ENOMEM, "memory: a process");
  *fill = (struct fill){.uffd = uffd, .id = id, .store = store};
  if (image_read(id, &fill->image, reason) < 0) return NULL;
  collect(fill);
  return fill;
}

uint64_t fill_left(const struct fill *fill) {
  uint64_t left = 0;
  for (; fill; fill = fill->forked) left += fill->state->pages_left;
  return left;
}

int fill_needs_block(const struct fill *fill, uint64_t number) {
  for (; fill; fill = fill->forked) {
    const struct need *need = need_of(fill, number * BLOCK_BYTES);
    for (unsigned i = 0; need && i < STORE_BLOCK_PAGES / 64; i++)
      if (need->bits[i]) return 1;
  }
  return 0;
}

// The run of needed pages that begins at or behind `page`; its length, 0 where there is none.
static unsigned next_run(const struct need *need, unsigned *page) {
  while (*page < STORE_BLOCK_PAGES && !is_needed(need, *page)) ++*page;
  unsigned end = *page;
  while (end < STORE_BLOCK_PAGES && is_needed(need, end)) end++;
  return end - *page;
}

static uint64_t step(void) { return is_running && now_ms() < asked_until_ms ? step_pages_asked : step_pages; }

// What lies beside the page that was asked for last. 0: there is nothing of it left to do.
static int fill_beside(struct fill *fill) {
  const struct need *need = need_of(fill, fill->beside);
  unsigned page = (unsigned)(fill->beside / PAGE_BYTES % STORE_BLOCK_PAGES), end = page + fill->beside_left, run = need ? next_run(need, &page) : 0;
  fill->beside_left = 0;
  if (run == 0 || page >= end) return 0;
  if (run > end - page) run = end - page;
  uint64_t origin = need->number * BLOCK_BYTES + page * PAGE_BYTES, pages;
  const char *bytes = content_of(fill, origin, &pages);
  if (!bytes) return -2;
  if (pages > run) pages = run;
  if (pages > step_pages_asked) {
    pages = step_pages_asked;
    fill->beside = origin + pages * PAGE_BYTES;
    fill->beside_left = run - (unsigned)pages;
  }
  int result = put(fill, origin, pages, bytes, 0);
  return result == 0 ? 1 : result == -1 ? 0 : result;
}

static int fill_one(struct fill *fill) {
  if (fill->beside_left > 0) {
    int result = fill_beside(fill);
    if (result != 0) return result;
  }
  while (fill->next < fill->state->need_count) {
    const struct need *need = &fill->state->needs[fill->order[fill->next]];
    unsigned page = 0, run = next_run(need, &page);
    if (run == 0) {
      fill_on_block_done(fill, need->number);
      fill->next++;
      continue;
    }
    uint64_t origin = need->number * BLOCK_BYTES + page * PAGE_BYTES, pages;
    const char *bytes = content_of(fill, origin, &pages);
    if (!bytes) return -2;
    if (pages > run) pages = run;
    int result = put(fill, origin, pages < step() ? pages : step(), bytes, 0);
    return result == 0 ? 1 : result;
  }
  if (fill->state->pages_left == 0) return 0;
  fill->next = 0; // pages that moved behind us
  return 1;
}

int fill_some(struct fill *fill) {
  for (; fill; fill = fill->forked) {
    int result = fill_one(fill);
    if (result != 0) return result;
  }
  return 0;
}

int fill_prove(struct fill *fill, uint64_t *address) {
  for (uint64_t i = 0; i < fill->store->mapping_count; i++) {
    struct mapping mapping = fill->store->mappings[i];
    if (mapping.space != fill->id) continue;
    // The first needed page of the mapping, block by block.
    for (*address = mapping.start; *address < mapping.end;) {
      const struct need *need = need_of(fill, *address);
      unsigned page = (unsigned)(*address / PAGE_BYTES % STORE_BLOCK_PAGES), run = need ? next_run(need, &page) : 0;
      *address = *address / BLOCK_BYTES * BLOCK_BYTES + (run > 0 ? page * PAGE_BYTES : BLOCK_BYTES);
      if (run == 0 || *address >= mapping.end) continue;
      uint64_t pages;
      const char *bytes = content_of(fill, *address, &pages);
      if (!bytes || put(fill, *address, 1, bytes, 0) < 0) return -1;
      break;
    }
  }
  return 0;
}

static int on_fault(struct fill *fill, uint64_t address) {
  uint64_t place = address & ~(PAGE_BYTES - 1), origin = origin_of(fill, place), pages;
  double began = now_ms();
  const char *bytes = content_of(fill, origin, &pages);
  fill_counts.faults++;
  asked_until_ms = began + asked_ms;
  if (!bytes) {
    // Never written before the dump: zero, and so are its neighbours that nobody has content for.
    struct uffdio_zeropage zero = {.range = {place, PAGE_BYTES}};
    fill_counts.zero_faults++;
    while (ioctl(fill->uffd, UFFDIO_ZEROPAGE, &zero) < 0) {
      if (errno == EAGAIN) {
        if (fill_events(fill) < 0) return -1;
        continue;
      }
      struct uffdio_range wake = {place, PAGE_BYTES};
      ioctl(fill->uffd, UFFDIO_WAKE, &wake);
      break;
    }
    return 0;
  }
  uint64_t filled = fill_counts.filled_pages;
  // A page that is done can be missed all the same: in a child that was made before it was put in place.
  int result = put(fill, origin, 1, bytes, 1);
  fill->beside = origin + PAGE_BYTES;
  fill->beside_left = pages - 1 < beside_pages ? (unsigned)pages - 1 : beside_pages;
  struct uffdio_range wake = {place, PAGE_BYTES};
  ioctl(fill->uffd, UFFDIO_WAKE, &wake); // also where the mapping is gone: then the thread must see that
  if (result == -1) result = 0;
  fill_counts.fault_pages += fill_counts.filled_pages - filled;
  double took = now_ms() - began;
  fill_counts.fault_ms += took;
  if (took > fill_counts.worst_fault_ms) fill_counts.worst_fault_ms = took;
  return result;
}

// The process gave pages back: what we have of them must not come again.
static void on_gone(struct fill *fill, uint64_t start, uint64_t end) {
  for (uint64_t i = 0; i < fill->state->need_count; i++) {
    const struct need *need = &fill->state->needs[i];
    uint64_t block = need->number * BLOCK_BYTES;
    if (fill->state->move_count == 0 && (block >= end || block + BLOCK_BYTES <= start)) continue;
    for (unsigned page = 0, run; (run = next_run(need, &page)) > 0; page++) {
      uint64_t place = place_of(fill, block + page * PAGE_BYTES);
      if (place >= start && place < end) set_done(fill, block + page * PAGE_BYTES, 1);
    }
  }
}

static int on_fork(struct fill *fill, int uffd) {
  struct fill *child = malloc(sizeof *child);
  if (!child) return -1;
  *child = *fill;
  child->uffd = uffd;
  child->next = 0;
  child->state = mmap(NULL, child->state_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (child->state == MAP_FAILED) return -1;
  memcpy(child->state, fill->state, child->state_bytes);
  fill->forked = child;
  return 0;
}

static int on_event(struct fill *fill, const struct uffd_msg *message) {
  switch (message->event) {
  case UFFD_EVENT_PAGEFAULT:
    return on_fault(fill, message->arg.pagefault.address);
  case UFFD_EVENT_REMOVE: {
    struct uffdio_range range = {message->arg.remove.start, message->arg.remove.end - message->arg.remove.start};
    on_gone(fill, message->arg.remove.start, message->arg.remove.end);
    ioctl(fill->uffd, UFFDIO_UNREGISTER, &range); // from now on the kernel gives zero pages there, as it should
    return 0;
  }
  case UFFD_EVENT_UNMAP:
    on_gone(fill, message->arg.remove.start, message->arg.remove.end);
    return 0;
  case UFFD_EVENT_REMAP:
    if (fill->state->move_count == max_moves) return -1;
    fill->state->moves[fill->state->move_count++] = (struct moved){message->arg.remap.from, message->arg.remap.to, message->arg.remap.len};
    return 0;
  case UFFD_EVENT_FORK:
    return on_fork(fill, (int)message->arg.fork.ufd);
  default:
    return 0;
  }
}

int fill_events(struct fill *fill) {
  struct uffd_msg message;
  for (;;) {
    ssize_t got = read(fill->uffd, &message, sizeof message);
    if (got < 0 && errno == EINTR) continue;
    if (got != sizeof message) return 0; // EAGAIN: all is handled
    if (on_event(fill, &message) < 0) return -1;
  }
}
