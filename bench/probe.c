/*
 * probe: what the bench asks of a process or a port, between its loads.
 *
 *     probe port              print a port that is free, below those of outgoing connections
 *     probe wait PORT PID     until it takes connections, or the process has ended, 10 s at most
 *     probe pss PID           print the memory (PSS, KB) of a process and its descendants
 *     probe start PORT KEY COMMAND...
 *                             run it; milliseconds until it has answered a chat, then end it
 *
 * Nothing tells that a contender serves but that it does: the time of its start is found by asking
 * again and again, ten times a millisecond.
 */
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "net.h"
#include "tree.h"

#define PATIENCE_NS 10000000000U

static int
print_free_port(void)
{
	for (unsigned i = 0; i < 1000; i++) {
		int port = 20000 + (int)((now_us() + i * 7919) % 12000), fd = net_listen(port);

		if (fd >= 0) {
			close(fd);
			printf("%d\n", port);
			return 0;
		}
	}
	return 1;
}

/* A connection, or -1. */
static int
reach(int port)
{
	struct sockaddr_in a = loopback(port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		die("socket");
	if (connect(fd, (struct sockaddr *)&a, sizeof a) == 0)
		return fd;
	close(fd);
	return -1;
}

/* Also when nobody has asked yet how it ended. */
static bool
has_ended(pid_t pid)
{
	char path[64], text[64] = "";
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return true;
	while (fgets(text, sizeof text, f) && strncmp(text, "State:", 6) != 0)
		;
	fclose(f);
	return strncmp(text, "State:\tZ", 8) == 0;
}

static int
wait_for(int port, pid_t pid)
{
	for (uint64_t began = now_ns(); now_ns() - began < PATIENCE_NS && !has_ended(pid);) {
		int fd = reach(port);

		if (fd >= 0) {
			close(fd);
			return 0;
		}
		usleep(10000);
	}
	return 1;
}

static bool
answers(int port, const char *key)
{
	static const char body[] =
		"{\"model\":\"bench\",\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]}";
	struct timeval patience = { .tv_sec = 5 };
	char request[1024], reply[8192];
	int fd = reach(port), len;
	ssize_t n = 0;

	if (fd < 0)
		return false;
	len = snprintf(request, sizeof request,
		"POST /v1/chat/completions HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer %s\r\n"
		"content-type: application/json\r\ncontent-length: %zu\r\n\r\n%s",
		key, sizeof body - 1, body);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	if (write(fd, request, (size_t)len) == len)
		n = read(fd, reply, sizeof reply);
	close(fd);
	return n > 12 && memcmp(reply, "HTTP/1.1 200", 12) == 0;
}

static int
time_start(int port, const char *key, char **command)
{
	uint64_t began = now_ns(), took = 0;
	bool ready = false;
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (pid == 0) {
		execvp(command[0], command);
		die(command[0]);
	}
	while (!ready && took < PATIENCE_NS && waitpid(pid, NULL, WNOHANG) == 0) {
		ready = answers(port, key);
		took = now_ns() - began;
		if (!ready)
			usleep(100);
	}
	kill(pid, SIGTERM);
	waitpid(pid, NULL, 0);
	if (!ready)
		return 1;
	printf("%.2f\n", (double)took / 1e6);
	return 0;
}

int
main(int argc, char **argv)
{
	const char *word = argc > 1 ? argv[1] : "";
	int number = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 0;

	signal(SIGPIPE, SIG_IGN);
	if (argc == 2 && strcmp(word, "port") == 0)
		return print_free_port();
	if (argc == 4 && strcmp(word, "wait") == 0)
		return wait_for(number, (pid_t)strtol(argv[3], NULL, 10));
	if (argc == 3 && strcmp(word, "pss") == 0)
		return printf("%llu\n", (unsigned long long)tree_pss_kb(number)) < 0;
	if (argc > 4 && strcmp(word, "start") == 0)
		return time_start(number, argv[3], argv + 4);
	fprintf(stderr,
		"usage: probe port | wait PORT PID | pss PID | start PORT KEY COMMAND...\n");
	return 64;
}
