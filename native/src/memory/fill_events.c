// What a restored process waits for, and what it does with its memory, as its userfaultfd tells it.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fill.h"
#include "needs.h"
#include "pagemap.h"
#include "report.h"

void (*fill_on_fork)(const struct fill *parent, int uffd, int state);

// The process gave pages back: what we have of them must not come again.
static void on_gone(struct fill *fill, uint64_t start, uint64_t end) {
  for (uint64_t i = 0; i < fill->state->need_count; i++) {
    const struct need *need = &fill->state->needs[i];
    uint64_t block = need->number * BLOCK_BYTES;
    if (fill->state->move_count == 0 && (block >= end || block + BLOCK_BYTES <= start)) continue;
    for (unsigned page = 0, run; (run = need_next_run(need, &page)) > 0; page++) {
      uint64_t place = needs_place(fill, block + page * PAGE_BYTES);
      if (place >= start && place < end) needs_done(fill, block + page * PAGE_BYTES, 1);
    }
  }
}

int fill_adopt(struct fill *parent, int uffd, int state) {
  struct fill *child = malloc(sizeof *child);
  if (!child) return -1;
  *child = *parent;
  child->uffd = uffd;
  child->next = 0;
  child->state = mmap(NULL, child->state_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, state, 0);
  if (child->state == MAP_FAILED) return free(child), -1;
  parent->forked = child;
  return 0;
}

// What the parent still needs, the child needs too. Until its keeper has the child's userfaultfd, nobody else holds it: that comes first.
static int on_fork(struct fill *fill, int uffd) {
  int state = memfd_create("aether-fill", MFD_CLOEXEC);
  if (state < 0 || write_all(state, fill->state, fill->state_bytes) < 0) return -1;
  if (fill_on_fork) fill_on_fork(fill, uffd, state);
  int result = fill_adopt(fill, uffd, state);
  close(state);
  return result;
}

static int on_event(struct fill *fill, const struct uffd_msg *message) {
  switch (message->event) {
  case UFFD_EVENT_PAGEFAULT:
    return fill_fault(fill, message->arg.pagefault.address);
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
