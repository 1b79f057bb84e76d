// One function a command: argv without the command's name; returns the exit code.
#ifndef AETHER_COMMANDS_H
#define AETHER_COMMANDS_H

int shim_command(int argc, char **argv);
int guard_command(int argc, char **argv);
int hold_command(int argc, char **argv);
int announce_command(int argc, char **argv);
int pipe_command(int argc, char **argv);
int launch_command(int argc, char **argv);
int enter_command(int argc, char **argv);
int unmount_command(int argc, char **argv);
int mend_command(int argc, char **argv);
int socket_sequences_command(int argc, char **argv);
int dirty_rate_command(int argc, char **argv);
int hand_over_command(int argc, char **argv);
int features_command(int argc, char **argv);
int memory_source_command(int argc, char **argv);
int memory_target_command(int argc, char **argv);
int memory_keep_command(int argc, char **argv);
int pages_serve_command(int argc, char **argv);
int pages_fetch_command(int argc, char **argv);
int xattr_command(int argc, char **argv);

#endif
