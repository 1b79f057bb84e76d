// For processes that outlive their agent, and on which a workload depends meanwhile.
#ifndef AETHER_OUTLIVE_H
#define AETHER_OUTLIVE_H

// When memory runs out, others end first.
void protect_from_oom(void);

// What became of us, for whoever asks later: the file is there whole, or not at all.
void write_status(const char *path, const char *text);

#endif
