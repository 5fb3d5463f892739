// root: a throwaway system: this one, with a layer over its files that takes all changes, and with processes, network and
// mounts of its own. Packages are installed there and services started, and nothing of it is left.
//
//	const root = new Root();
//	await root.start();
//	await root.run('dpkg -i /root/x.deb');	// { code, output }
//	root.file('/etc/passwd');		// its path as seen from here
//	root.stop();
//
// With { boot: true } systemd is its first process, and comes up as far as sysinit.target; else one that only waits for the
// dead. What a machine must have for this, start() says when it throws. Needs root.

import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, rmdirSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from './scenario.mjs';

// $1 is an empty directory. A layer cannot lie in a layer, which / may be: so it is in memory.
const MOUNTS = `set -e
mount --make-rprivate /
mount -t tmpfs tmpfs $1
mkdir $1/changes $1/work $1/root
mount -t overlay overlay -o lowerdir=/,upperdir=$1/changes,workdir=$1/work $1/root
cd $1/root
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
for d in run tmp dev; do mount -t tmpfs -o mode=755 tmpfs $d; done
chmod 1777 tmp
for d in null zero full random urandom tty; do
	mknod dev/$d c $(stat -c '0x%t 0x%T' /dev/$d)
	chmod 666 dev/$d
done
mkdir dev/pts dev/shm tmp/old tmp/changes
mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount --bind $1/changes tmp/changes
rm -f usr/sbin/policy-rc.d
ip link set lo up
`;
const LEAVE = `pivot_root . tmp/old
umount -l /tmp/old
rmdir /tmp/old
echo ready
`;
const WAIT = 'while :; do sleep 0.1; done\n';
// What asks for hardware, for the network or for people is left out.
const BOOT = `mount -t cgroup2 cgroup2 sys/fs/cgroup
mkdir -p etc/systemd/system
ls lib/systemd/system | grep -E 'getty|networkd|resolved|timesyncd|logind|udev|online|ifup|^sys-|^dev-' | while read -r unit; do
	ln -sf /dev/null etc/systemd/system/$unit
done
${LEAVE}
export container=test
exec /lib/systemd/systemd --system --unit=sysinit.target
`;

// The directory of a hierarchy of cgroups that systemd can manage a part of.
function cgroups() {
	const line = readFileSync('/proc/mounts', 'utf8').split('\n').map((text) => text.split(' '))
		.find(([, , type, options]) => type === 'cgroup2' && /^rw\b/.test(options));
	if (!line)
		throw new Error('no cgroup2 is mounted that can be written to');
	return line[1];
}
function removeCgroups(dir) {
	for (const name of readdirSync(dir, { withFileTypes: true }))
		if (name.isDirectory())
			removeCgroups(join(dir, name.name));
	rmdirSync(dir);
}

export class Root {
	#said = '';
	#child;
	#dir;
	#cgroup;

	constructor({ boot = false } = {}) {
		this.boot = boot;
	}
	async start() {
		if (process.getuid() !== 0)
			throw new Error('only root can mount');
		if (this.boot && !existsSync('/lib/systemd/systemd'))
			throw new Error('there is no systemd');
		this.#dir = mkdtempSync(join(tmpdir(), 'api-router-root-'));
		if (this.boot)
			this.#cgroup = mkdtempSync(join(cgroups(), 'api-router-'));
		const enter = this.boot ? `echo $$ >${this.#cgroup}/cgroup.procs || exit; ` : '';
		const script = MOUNTS + (this.boot ? BOOT : LEAVE + WAIT);
		this.#child = spawn('sh', ['-c', `${enter}exec unshare --mount --pid --fork --kill-child --uts --ipc --net --cgroup \
			sh -c "$1" sh "$2"`, 'sh', script, this.#dir], { stdio: ['ignore', 'pipe', 'pipe'] });
		for (const stream of [this.#child.stdout, this.#child.stderr])
			stream.on('data', (data) => (this.#said += data));
		const ended = new Promise((done) => this.#child.on('close', done));
		this.ended = ended;
		let over = false;
		ended.then(() => (over = true));
		await until(() => over || /^ready$/m.test(this.#said), 'the root is mounted', 60000);
		if (over)
			throw new Error(`no root can be mounted: ${this.#said.trim()}`);
		const pid = this.#child.pid;
		this.pid = Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim());
		if (this.boot)
			await until(async () => over || /^(running|degraded)/m.test((await this.run('systemctl is-system-running')).output),
				'systemd is up', 60000);
		if (over)
			throw new Error(`systemd ended: ${this.#said.trim()}`);
	}
	file(path) {
		return `/proc/${this.pid}/root${path}`;
	}
	// { mode: '640', owner: 'root', group: 'adm' }, by the names of that system.
	async stat(path) {
		const { output } = await this.run(`stat -c '%a %U %G' ${path}`);
		const [mode, owner, group] = output.trim().split(' ');
		return { mode, owner, group };
	}
	// What a shell says there to a command: { code, output }.
	run(command, { ms = 120000 } = {}) {
		return new Promise((done) => {
			const child = spawn('nsenter', ['-t', String(this.pid), '-m', '-p', '-u', '-i', '-n', '-C', '-r', '-w', 'sh', '-c', command], {
				stdio: ['ignore', 'pipe', 'pipe'],
				env: {
					PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
					DEBIAN_FRONTEND: 'noninteractive',
					LC_ALL: 'C',
					...(this.boot ? {} : { RUNLEVEL: '2', PREVLEVEL: 'N' }), // as init tells its children
				},
			});
			let output = '';
			const timer = setTimeout(() => child.kill('SIGKILL'), ms);
			for (const stream of [child.stdout, child.stderr])
				stream.on('data', (data) => (output += data));
			// A daemon may hold the pipes; what counts is the end of the command.
			child.on('exit', () => {
				clearTimeout(timer);
				setTimeout(() => {
					child.stdout.destroy();
					child.stderr.destroy();
				}, 1000);
			});
			child.on('close', (code) => done({ code, output }));
		});
	}
	async stop() {
		if (this.#child?.exitCode === null) {
			this.#child.kill('SIGKILL');
			await this.ended;
		}
		if (this.#cgroup)
			await until(() => {
				try {
					removeCgroups(this.#cgroup);
				} catch {
					return !existsSync(this.#cgroup); // the last of them is on its way out
				}
				return true;
			}, 'the cgroups are empty');
		if (this.#dir)
			rmSync(this.#dir, { recursive: true, force: true });
	}
}

// Why there can be no such system here, or false.
export async function noSystem(options) {
	const root = new Root(options);
	try {
		await root.start();
		return false;
	} catch (error) {
		return error.message;
	} finally {
		await root.stop();
	}
}
