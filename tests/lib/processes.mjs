// processes: what /proc says about the daemon's processes.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, openSync, readFileSync, readSync, readdirSync, readlinkSync } from 'node:fs';
import { underValgrind } from './scenario.mjs';

const read = (pid, name) => {
	try {
		return readFileSync(`/proc/${pid}/${name}`, 'latin1');
	} catch {
		return '';
	}
};

// Pids of the children of the daemon's master that call themselves so: 'w' for workers, 'dns' for the resolver.
function named(daemon, title) {
	return daemon.children().filter((p) => p.state !== 'Z' && read(p.pid, 'comm').startsWith(`api-router:${title}`))
		.map((p) => p.pid);
}
export const workers = (daemon) => named(daemon, 'w');
export const resolvers = (daemon) => named(daemon, 'dns');

export const alive = (pid) => {
	const stat = read(pid, 'stat');
	return stat !== '' && stat.slice(stat.lastIndexOf(')') + 2)[0] !== 'Z';
};

// A line of /proc/PID/status.
export const status = (pid, name) => read(pid, 'status').match(new RegExp(`^${name}:\\s*(.*)$`, 'm'))?.[1];
export const residentKib = (pid) => Number(status(pid, 'VmRSS').split(' ')[0]);
export const mappings = (pid) => read(pid, 'smaps').split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m).filter(Boolean);

// The readable mappings of a process in which any of these bytes stand: [{ access, name, flags, texts }], flags as in
// smaps, texts those of the given ones that were found.
export function where(pid, ...texts) {
	const memory = openSync(`/proc/${pid}/mem`, 'r');
	const found = [];
	for (const mapping of mappings(pid)) {
		const [, from, to, access, name] = mapping.match(/^([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \d+ *(.*)$/m);
		const size = Number(BigInt(`0x${to}`) - BigInt(`0x${from}`));
		if (access[0] !== 'r' || name.startsWith('[v') || size > 1 << 28) // the last is a sanitizer's
			continue;
		const bytes = Buffer.alloc(size);
		try {
			readSync(memory, bytes, 0, size, BigInt(`0x${from}`));
		} catch {
			continue;
		}
		const here = texts.filter((text) => bytes.includes(text));
		if (here.length > 0)
			found.push({ access, name, texts: here, flags: mapping.match(/^VmFlags: (.*)$/m)[1].trim().split(' ') });
	}
	closeSync(memory);
	return found;
}

// What its descriptors lead to: { '3': 'socket:[123]', ... }.
export function descriptors(pid) {
	const all = {};
	for (const fd of readdirSync(`/proc/${pid}/fd`)) {
		try {
			all[fd] = readlinkSync(`/proc/${pid}/fd/${fd}`);
		} catch {
			// closed meanwhile
		}
	}
	return all;
}
// Those of a process that is not dumpable, as workers are, only root can see.
export const seesDescriptors = process.getuid() === 0;
export const descriptorCount = (pid) => Object.keys(descriptors(pid)).length;

// Does the kernel send hints of what comes at this descriptor (O_ASYNC, net/hints)?
export const isHinted = (pid, fd) => (parseInt(read(pid, `fdinfo/${fd}`).match(/^flags:\s*(\d+)/m)?.[1] ?? '0', 8) & 0o20000) !== 0;

// IPv4 sockets of the system: [{ local, remote, state, inode }], the first two port numbers.
function sockets() {
	return readFileSync('/proc/net/tcp', 'latin1').trim().split('\n').slice(1).map((line) => {
		const [, local, remote, state, , , , , , inode] = line.trim().split(/\s+/);
		const port = (text) => parseInt(text.split(':')[1], 16);
		return { local: port(local), remote: port(remote), state: parseInt(state, 16), inode };
	});
}
// The clients' ports of the connections that a process has accepted on one of the daemon's port.
export function clientPorts(pid, port) {
	const own = new Set(Object.values(descriptors(pid)));
	return new Set(sockets().filter((t) => t.local === port && t.state === 1 && own.has(`socket:[${t.inode}]`))
		.map((t) => t.remote));
}
// Has this process the listening socket of a port open? A draining worker has not.
export function listens(pid, port) {
	const own = new Set(Object.values(descriptors(pid)));
	return sockets().some((t) => t.local === port && t.state === 10 && own.has(`socket:[${t.inode}]`));
}
// Does anybody listen on this port?
export const isListening = (port) => sockets().some((t) => t.local === port && t.state === 10);

// Set a soft limit of a process, as its own user, since root in a container may not do it to others. What it was.
export function setLimit(pid, what, soft) {
	const title = { fsize: 'Max file size', nofile: 'Max open files', nproc: 'Max processes' }[what];
	const [, before] = read(pid, 'limits').match(new RegExp(`^${title} +(\\S+)`, 'm'));
	const [uid, gid] = ['Uid', 'Gid'].map((name) => status(pid, name).split('\t')[0]);
	const as = Number(uid) === process.getuid() ? [] : ['setpriv', `--reuid=${uid}`, `--regid=${gid}`, '--clear-groups'];
	const [command, ...args] = [...as, 'prlimit', '--pid', `${pid}`, `--${what}=${soft}:`];
	const run = spawnSync(command, args, { encoding: 'utf8' });
	assert.equal(run.status, 0, run.stderr);
	return before;
}
export const noLimits = (['prlimit', 'setpriv'].some((name) => spawnSync(name, ['--version']).status !== 0) && 'there is no prlimit or setpriv')
	|| (underValgrind && 'valgrind has limits of its own') || false;
