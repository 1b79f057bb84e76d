#include "keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fdpass.h"
#include "outlive.h"
#include "report.h"
#include "wire.h"

// The worker's ways to its keeper.
static int to_keeper = -1, forks_to_keeper = -1;

// A child that is made while pages are missing: were the worker killed, and its userfaultfd closed with it, the child would find zeros.
static void hand_fork(const struct fill *parent, int uffd, int state) {
  if (forks_to_keeper < 0) return;
  if (send_fd(forks_to_keeper, uffd, (int)parent->id) == 0 && send_fd(forks_to_keeper, state, 0) == 0) return;
  say(STDOUT_FILENO, "{\"event\":\"note\",\"reason\":\"pages of a child that are missing would read as zeros if this process were killed\"}");
}

// 0: there was no whole one, and there will be none.
static int adopt_fork(int forks, struct fill *(*fill_of)(uint32_t id)) {
  int id, ignored, uffd = receive_fd(forks, &id), state = uffd < 0 ? -1 : receive_fd(forks, &ignored);
  if (state < 0) {
    if (uffd >= 0) close(uffd);
    return 0;
  }
  struct fill *parent = fill_of((uint32_t)id);
  if (!parent || fill_adopt(parent, uffd, state) < 0) say(STDOUT_FILENO, "{\"event\":\"note\",\"reason\":\"a child is not kept\"}");
  close(state);
  return 1;
}

static void forget(struct store_block *block) {
  store_release(block);
  block->bytes = NULL;
}

// The keeper's memory is a copy of the worker's: the block lies at the same address there.
void keeper_forget(struct store_block *block) {
  forget(block);
  if (to_keeper >= 0 && write_all(to_keeper, &block, sizeof block) < 0) to_keeper = -1;
}

static int forget_next(int released) {
  struct store_block *block;
  if (read_exactly(released, &block, sizeof block) < 0) return 0;
  return forget(block), 1;
}

// What the worker says, until it has ended.
static void follow(int released, int forks, struct fill *(*fill_of)(uint32_t id)) {
  struct pollfd at[2] = {{.fd = released, .events = POLLIN}, {.fd = forks, .events = POLLIN}};
  while (at[0].fd >= 0 || at[1].fd >= 0) {
    if (poll(at, 2, -1) < 0) continue;
    if (at[0].revents && !forget_next(at[0].fd)) at[0].fd = -1;
    if (at[1].revents && !adopt_fork(at[1].fd, fill_of)) at[1].fd = -1;
  }
}

_Noreturn void keep_going(struct fill *(*fill_of)(uint32_t id), void (*work)(void)) {
  protect_from_oom();
  fill_on_fork = hand_fork;
  for (;;) {
    int released[2] = {-1, -1}, forks[2] = {-1, -1}, status;
    if (pipe2(released, O_CLOEXEC) < 0) released[0] = released[1] = -1;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, forks) < 0) forks[0] = forks[1] = -1;
    pid_t worker = fork();
    if (worker == 0) {
      close(released[0]);
      close(forks[0]);
      to_keeper = released[1];
      forks_to_keeper = forks[1];
      work();
      _exit(0);
    }
    if (worker < 0) {
      work();
      _exit(0);
    }
    close(released[1]);
    close(forks[1]);
    follow(released[0], forks[0], fill_of);
    close(released[0]);
    close(forks[0]);
    while (waitpid(worker, &status, 0) < 0 && errno == EINTR) continue;
    if (WIFEXITED(status)) _exit(WEXITSTATUS(status));
    say(STDOUT_FILENO, "{\"event\":\"note\",\"reason\":\"the worker was killed by signal %d and is replaced\"}", WTERMSIG(status));
  }
}
