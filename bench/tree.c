/*
 * tree: processor time and memory of a contender, from the kernel's own books.
 *
 * The time is what the scheduler gave to each thread, in nanoseconds
 * (/proc/PID/task/TID/schedstat). On the loopback interface a packet is received in the call that
 * sends it, so this has in it what the kernel does with the data, up to the receiver's socket. What
 * a process used that has ended is not in it: no contender ends one while it is measured.
 *
 * Memory is the proportional set size: of a page that n processes share each has an n-th.
 */
#include <ctype.h>
#include <dirent.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "bench.h"
#include "tree.h"

#define PROCESSES_MOST 65536
#define TREE_MOST 256

static size_t
read_text(const char *path, char *out, size_t size)
{
	FILE *f = fopen(path, "re");
	size_t n = f ? fread(out, 1, size - 1, f) : 0;

	if (f)
		fclose(f);
	out[n] = '\0';
	return n;
}

/* What stands after the name in brackets: state, parent, ... */
static pid_t
parent_of(const char *pid)
{
	char path[320], text[1024], *at;

	snprintf(path, sizeof path, "/proc/%s/stat", pid);
	read_text(path, text, sizeof text);
	at = strrchr(text, ')');
	return at && at[1] ? (pid_t)strtol(at + 3, NULL, 10) : 0;
}

/* The root and its descendants; how many. */
static int
collect(pid_t root, pid_t tree[TREE_MOST])
{
	static pid_t pids[PROCESSES_MOST], parents[PROCESSES_MOST];
	DIR *dir = opendir("/proc");
	struct dirent *e;
	int n = 0, found = 1;

	while (dir && (e = readdir(dir)) && n < PROCESSES_MOST) {
		if (!isdigit((unsigned char)e->d_name[0]))
			continue;
		pids[n] = (pid_t)strtol(e->d_name, NULL, 10);
		parents[n++] = parent_of(e->d_name);
	}
	if (dir)
		closedir(dir);
	tree[0] = root;
	for (int at = 0; at < found; at++)
		for (int i = 0; i < n && found < TREE_MOST; i++)
			if (parents[i] == tree[at])
				tree[found++] = pids[i];
	return found;
}

static uint64_t
threads_cpu(pid_t pid)
{
	char path[320], text[128];
	uint64_t sum = 0;
	struct dirent *e;
	DIR *dir;

	snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
	dir = opendir(path);
	while (dir && (e = readdir(dir))) {
		if (!isdigit((unsigned char)e->d_name[0]))
			continue;
		snprintf(path, sizeof path, "/proc/%d/task/%.12s/schedstat", (int)pid, e->d_name);
		read_text(path, text, sizeof text);
		sum += strtoull(text, NULL, 10);
	}
	if (dir)
		closedir(dir);
	return sum;
}

uint64_t
tree_cpu_ns(pid_t root)
{
	pid_t tree[TREE_MOST];
	int n = collect(root, tree);
	uint64_t sum = 0;

	for (int i = 0; i < n; i++)
		sum += threads_cpu(tree[i]);
	return sum;
}

uint64_t
tree_pss_kb(pid_t root)
{
	pid_t tree[TREE_MOST];
	int n = collect(root, tree);
	char path[64], text[2048], *at;
	uint64_t sum = 0;

	for (int i = 0; i < n; i++) {
		snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)tree[i]);
		read_text(path, text, sizeof text);
		at = strstr(text, "\nPss:");
		sum += at ? strtoull(at + 5, NULL, 10) : 0;
	}
	return sum;
}
