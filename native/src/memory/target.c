// memory-target: keeps the copies that a source sends, and when criu restores the workload from images without those pages, puts them in place. Where it can,
// the restored tasks inherit them (inherit.c), and its work is done when they stand. Else it takes the place of criu's own lazy-pages daemon (same socket, same
// protocol). From the resume until the last page is in place the workload depends on this process then: so it has a keeper, a second process with the same
// descriptors and the same memory, that goes on where a killed worker stopped.
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "commands.h"
#include "faults.h"
#include "fill.h"
#include "headroom.h"
#include "inherit.h"
#include "keeper.h"
#include "options.h"
#include "outlive.h"
#include "pagemap.h"
#include "place.h"
#include "report.h"
#include "wire.h"

enum { max_processes = 4096, restore_finished = 0x52535446 }; // the latter is criu's word

static struct store store;
static struct fill *fills[max_processes];
static int fill_count, data_fd, sealed_event;
static const char *status_path, *procs_path, *charge_path;
static double finished_ms;
static uint64_t inherited_pages, inherited_huge_pages;

static struct fill *fill_of(uint32_t id) {
  for (int i = 0; i < fill_count; i++)
    if (fills[i]->id == id) return fills[i];
  return NULL;
}

static double now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

// A block that is in place is not held twice.
static void release_block(const struct fill *fill, uint64_t number) {
  struct store_block *block = store_find(&store, fill->id, number * STORE_BLOCK_PAGES * PAGE_BYTES);
  if (!block || !block->bytes || fill_needs_block(fill_of(fill->id), number)) return;
  keeper_forget(block);
}

static _Noreturn void give_up(const char *reason) {
  char text[512];
  snprintf(text, sizeof text, "{\"event\":\"failed\",\"reason\":\"%s\"}\n", reason);
  write_status(status_path, text);
  say(STDOUT_FILENO, "{\"event\":\"failed\",\"reason\":\"%s\"}", reason);
  _exit(1);
}

static void say_sealed(uint32_t space, uint64_t pages, hash_t digest) {
  say(STDOUT_FILENO, "{\"event\":\"space\",\"space\":%u,\"pages\":%" PRIu64 ",\"digest\":\"%016" PRIx64 "%016" PRIx64 "\"}", space, pages, (uint64_t)(digest >> 64), (uint64_t)digest);
}

static void say_mark(uint64_t pass) {
  inherit_mark(pass);
  say(STDOUT_FILENO, "{\"event\":\"mark\",\"number\":%" PRIu64 "}", pass);
}

static void *receive(void *argument) {
  const char *reason;
  struct wire wire;
  (void)argument;
  if (wire_accept(&wire, data_fd, &reason) < 0 || store_receive(&store, &wire, say_sealed, &reason) < 0) give_up(reason);
  wire_close(&wire);
  inherit_sealed();
  say(STDOUT_FILENO, "{\"event\":\"sealed\",\"receivedPages\":%" PRIu64 ",\"keptPages\":%" PRIu64 ",\"blocks\":%" PRIu64 "}", store.received_pages, store.kept_pages, store.count);
  if (eventfd_write(sealed_event, 1) < 0) give_up("eventfd");
  return NULL;
}

// In the images' folder, by the name that criu connects to.
static int open_door(void) {
  struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "lazy-pages.socket"};
  int door = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  unlink(address.sun_path);
  if (door < 0 || bind(door, (struct sockaddr *)&address, sizeof address) < 0 || listen(door, 4) < 0) fail(errno, "memory-target: cannot listen for criu");
  return door;
}

// One message of criu restore: a process with its userfaultfd, a zombie, or the end. 1 at the end.
static int hear_criu(int client) {
  int32_t pid;
  const char *reason;
  if (recv(client, &pid, sizeof pid, MSG_WAITALL) != sizeof pid) give_up("criu restore went away");
  if (pid == restore_finished) return 1;
  if (pid <= 0) return 0;
  char byte, space[CMSG_SPACE(sizeof(int))];
  struct iovec part = {&byte, 1};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
  if (recvmsg(client, &message, MSG_CMSG_CLOEXEC) <= 0 || !CMSG_FIRSTHDR(&message)) give_up("criu restore sent no userfaultfd");
  int uffd;
  memcpy(&uffd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof uffd);
  struct fill *fill = fill_count < max_processes ? fill_open(&store, (uint32_t)pid, uffd, &reason) : NULL;
  if (!fill) give_up(fill_count < max_processes ? reason : "too many processes");
  fills[fill_count++] = fill;
  return 0;
}

static uint64_t pages_left(void) {
  uint64_t left = 0;
  for (int i = 0; i < fill_count; i++) left += fill_left(fills[i]);
  return left;
}

static void all_events(void) {
  for (int i = 0; i < fill_count; i++)
    for (struct fill *fill = fills[i]; fill; fill = fill->forked)
      if (fill_events(fill) < 0) give_up("a page that the process waits for cannot be put in place");
}

// Waits until something is to be heard; at once where pages are to be put in place.
static void wait_for(int client, int is_busy) {
  static struct pollfd at[max_processes + 1];
  int count = 0;
  at[count++] = (struct pollfd){.fd = client, .events = POLLIN};
  for (int i = 0; i < fill_count && count <= max_processes; i++)
    for (struct fill *fill = fills[i]; fill && count <= max_processes; fill = fill->forked) at[count++] = (struct pollfd){.fd = fill->uffd, .events = POLLIN};
  poll(at, (nfds_t)count, is_busy ? 0 : 1);
}

static void delay(void) {
  long delay_ms = fault_delay_ms("memory.fill");
  if (delay_ms > 0) usleep((useconds_t)delay_ms * 1000);
}

// While criu restores: pages go in place as soon as their mappings are there.
static void while_restoring(int client) {
  struct pollfd criu = {.fd = client, .events = POLLIN};
  for (;;) {
    int is_busy = 0;
    delay();
    for (int i = 0; i < fill_count; i++) {
      int result = fill_some(fills[i]);
      if (result == -2) give_up("a page cannot be put in place");
      is_busy |= result == 1;
    }
    wait_for(client, is_busy);
    all_events();
    if (poll(&criu, 1, 0) > 0 && hear_criu(client)) return;
  }
}

static void prove(void) {
  uint64_t address = 0;
  for (int i = 0; i < fill_count; i++)
    if (fill_prove(fills[i], &address) < 0) {
      char reason[128];
      snprintf(reason, sizeof reason, "process %u has no place for its page at %" PRIx64, fills[i]->id, address);
      give_up(reason);
    }
}

// Every page is in place.
static void say_filled(void) {
  char text[512];
  snprintf(text, sizeof text,
           "{\"event\":\"filled\",\"ms\":%.1f,\"filledPages\":%" PRIu64 ",\"faults\":%" PRIu64 ",\"zeroFaults\":%" PRIu64 ",\"faultPages\":%" PRIu64 ",\"faultMs\":%.3f,\"worstFaultMs\":%.3f,\"inheritedPages\":%" PRIu64 ",\"hugePages\":%" PRIu64 "}\n",
           now_ms() - finished_ms, fill_counts.filled_pages, fill_counts.faults, fill_counts.zero_faults, fill_counts.fault_pages, fill_counts.fault_ms, fill_counts.worst_fault_ms, inherited_pages, inherited_huge_pages);
  write_status(status_path, text);
  text[strlen(text) - 1] = '\0';
  say(STDOUT_FILENO, "%s", text);
}

// Until every page is in place.
static void while_running(void) {
  while (pages_left() > 0) {
    delay();
    for (int i = 0; i < fill_count; i++) {
      if (fill_some(fills[i]) < -1) give_up("a page cannot be put in place");
      all_events();
    }
  }
  all_events();
  say_filled();
}

int memory_target_command(int argc, char **argv) {
  long long fd = -1;
  const char *images = NULL;
  const struct option_spec specs[] = {
      {.name = "images", .text = &images, .is_required = 1},
      {.name = "status", .text = &status_path, .is_required = 1},
      {.name = "procs", .text = &procs_path, .is_required = 1},
      {.name = "charge", .text = &charge_path},
      {.name = "data-fd", .number = &fd, .min = 3, .max = 1023, .is_required = 1},
  };
  parse_options("memory-target", argc, argv, specs, sizeof specs / sizeof *specs);
  if (*status_path != '/') usage_error("memory-target: --status must be an absolute path%s", "");
  if (chdir(images) < 0) fail(errno, "memory-target: --images %s", images);
  data_fd = (int)fd;
  fcntl(data_fd, F_SETFD, FD_CLOEXEC);
  sealed_event = eventfd(0, EFD_CLOEXEC);
  unlink(status_path);
  store_init(&store);
  store.on_mark = say_mark;
  fill_on_block_done = release_block;
  int door = open_door(), inherited = inherit_begin(&store, charge_path);
  pthread_t receiver;
  int error = pthread_create(&receiver, NULL, receive, NULL);
  if (error) fail(error, "memory-target: no thread");
  say(STDOUT_FILENO, "{\"event\":\"ready\",\"pid\":%d}", getpid());
  // Our caller's end before the restore is ours: nobody depends on us yet.
  struct pollfd at[3] = {{.fd = door, .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}, {.fd = inherited, .events = POLLIN}};
  while (!(at[0].revents & POLLIN) && !(at[2].revents & POLLIN)) {
    char said[64];
    if (poll(at, 3, -1) < 0 && errno != EINTR) fail(errno, "memory-target: poll");
    ssize_t length = at[1].revents ? read(STDIN_FILENO, said, sizeof said) : -1;
    if (at[1].revents && length <= 0) return 0;
    if (length == 5 && memcmp(said, "idle\n", 5) == 0) inherit_expect_idle();
  }
  setpriority(PRIO_PROCESS, 0, -10); // the workload waits for us
  int is_inherited = at[2].revents & POLLIN;
  if (is_inherited) {
    eventfd_t end;
    if (eventfd_read(inherited, &end) < 0 || end != INHERIT_DONE) give_up("criu restore went away");
    inherited_pages = inherit_pages();
    inherited_huge_pages = inherit_huge_pages();
  } else {
    int client = accept4(door, NULL, NULL, SOCK_CLOEXEC);
    if (client < 0) fail(errno, "memory-target: criu cannot be heard");
    close(door);
    eventfd_t sealed;
    if (eventfd_read(sealed_event, &sealed) < 0) fail(errno, "memory-target: eventfd");
    while_restoring(client);
    prove();
    // What is put in place after the resume would end the workload, here, where it cannot go back any more.
    if (!headroom_is_within_limit(charge_path, pages_left())) give_up("the workload's limit leaves no room for the rest of its memory");
  }
  const char *reason = "";
  double placing_ms = now_ms();
  long long placed = place_objects(&store, procs_path, charge_path, &reason);
  if (placed < 0) give_up(reason);
  finished_ms = now_ms();
  say(STDOUT_FILENO, "{\"event\":\"restored\",\"processes\":%d,\"pagesLeft\":%" PRIu64 ",\"filledPages\":%" PRIu64 ",\"inheritedPages\":%" PRIu64 ",\"hugePages\":%" PRIu64 ",\"sharedPages\":%lld,\"sharedMs\":%.3f}", fill_count,
      pages_left(), fill_counts.filled_pages, inherited_pages, inherited_huge_pages, placed, finished_ms - placing_ms);
  if (is_inherited) { // nobody depends on us any more
    say_filled();
    return 0;
  }
  fill_process_runs();
  keep_going(fill_of, while_running);
}
