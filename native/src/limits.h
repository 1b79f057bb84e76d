// criu reads the resource limits of each process that it dumps. For one of another user that takes CAP_SYS_RESOURCE, which containers and some clouds' roots do
// not have; what it asks for stands in /proc/PID/limits for root to read. So its question is answered from there (seccomp's user notification).
#ifndef AETHER_LIMITS_H
#define AETHER_LIMITS_H

#include <linux/filter.h>
#include <linux/seccomp.h>

// Is the capability missing? Else nothing here is of use.
int limits_are_hidden(void);

// Is this a question of ours? Answers it then: the answer to send, and 1.
int limits_answer(int listener, const struct seccomp_notif *question, struct seccomp_notif_resp *answer);

// Becomes two processes: the child returns, under a filter that hands prlimit64 over, and will become the command; this one answers, and
// ends as the command does.
void limits_supervise(void);

#endif
