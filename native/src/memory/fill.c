#include "fill.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#include "needs.h"
#include "pagemap.h"
#include "report.h"

// Putting a page in place takes one to two microseconds, and nobody is heard meanwhile: while threads keep asking, no step may be long. A thread gets its one page at
// once; what lies beside that comes next, before all else.
enum { step_pages = 64, step_pages_asked = 8, beside_pages = 15, asked_ms = 2 };
static double asked_until_ms;

struct fill_counts fill_counts;
void (*fill_on_block_done)(const struct fill *fill, uint64_t number);
static int is_running;

void fill_process_runs(void) { is_running = 1; }

static double now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

// Puts up to `pages` pages in place. `is_awaited`: a thread waits for the first one, needed or not. 0: done, or there already; -1: no such mapping (yet); -2: failed.
static int put(struct fill *fill, uint64_t origin, uint64_t pages, const char *bytes, int is_awaited) {
  while (pages > 0) {
    uint64_t now = fill->state->move_count == 0 ? pages : 1; // moved pages need not lie side by side
    struct uffdio_copy copy = {.dst = needs_place(fill, origin), .src = (uint64_t)bytes, .len = now * PAGE_BYTES};
    int result = ioctl(fill->uffd, UFFDIO_COPY, &copy);
    uint64_t put_pages = result == 0 ? now : copy.copy > 0 ? (uint64_t)copy.copy / PAGE_BYTES : 0;
    if (put_pages > 0) {
      needs_done(fill, origin, put_pages);
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
      if (!need || !need_has(need, (unsigned)(origin / PAGE_BYTES % STORE_BLOCK_PAGES))) return 0;
      continue;
    }
    if (errno == EEXIST) {
      struct uffdio_range wake = {copy.dst, PAGE_BYTES};
      ioctl(fill->uffd, UFFDIO_WAKE, &wake);
      needs_done(fill, origin, 1);
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
      needs_done(fill, origin, 1); // unmapped by the process: nobody will miss it
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

struct fill *fill_open(const struct store *store, uint32_t id, int uffd, const char **reason) {
  struct fill *fill = calloc(1, sizeof *fill);
  if (!fill) fail(ENOMEM, "memory: a process");
  *fill = (struct fill){.uffd = uffd, .id = id, .store = store};
  if (image_read(id, &fill->image, reason) < 0) return NULL;
  needs_collect(fill);
  return fill;
}

static uint64_t step(void) { return is_running && now_ms() < asked_until_ms ? step_pages_asked : step_pages; }

// What lies beside the page that was asked for last. 0: there is nothing of it left to do.
static int fill_beside(struct fill *fill) {
  const struct need *need = need_of(fill, fill->beside);
  unsigned page = (unsigned)(fill->beside / PAGE_BYTES % STORE_BLOCK_PAGES), end = page + fill->beside_left, run = need ? need_next_run(need, &page) : 0;
  fill->beside_left = 0;
  if (run == 0 || page >= end) return 0;
  if (run > end - page) run = end - page;
  uint64_t origin = need->number * BLOCK_BYTES + page * PAGE_BYTES, pages;
  const char *bytes = needs_content(fill, origin, &pages);
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
    unsigned page = 0, run = need_next_run(need, &page);
    if (run == 0) {
      fill_on_block_done(fill, need->number);
      fill->next++;
      continue;
    }
    uint64_t origin = need->number * BLOCK_BYTES + page * PAGE_BYTES, pages;
    const char *bytes = needs_content(fill, origin, &pages);
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
      unsigned page = (unsigned)(*address / PAGE_BYTES % STORE_BLOCK_PAGES), run = need ? need_next_run(need, &page) : 0;
      *address = *address / BLOCK_BYTES * BLOCK_BYTES + (run > 0 ? page * PAGE_BYTES : BLOCK_BYTES);
      if (run == 0 || *address >= mapping.end) continue;
      uint64_t pages;
      const char *bytes = needs_content(fill, *address, &pages);
      if (!bytes || put(fill, *address, 1, bytes, 0) < 0) return -1;
      break;
    }
  }
  return 0;
}

int fill_fault(struct fill *fill, uint64_t address) {
  uint64_t place = address & ~(PAGE_BYTES - 1), origin = needs_origin(fill, place), pages;
  double began = now_ms();
  const char *bytes = needs_content(fill, origin, &pages);
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
