// package: Debian's package is built as an administrator would, and installed into throwaway systems (lib/root.mjs): one with
// the init script, one that systemd runs, one with OpenRC. Each leaves out what this machine cannot have, and says why.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { fileURLToPath } from 'node:url';
import { binary } from '../lib/daemon.mjs';
import { Root, noSystem } from '../lib/root.mjs';
import { scenario, underValgrind, until } from '../lib/scenario.mjs';

const source = fileURLToPath(new URL('../..', import.meta.url));
const top = mkdtempSync(join(tmpdir(), 'api-router-package-'));
after(() => rmSync(top, { recursive: true, force: true }));
const version = readFileSync(join(source, 'include/base/version.h'), 'utf8').match(/VERSION "(.*)"/)[1];
const built = (suffix) => join(top, 'tree/build/deb', `api-router_${version}${suffix}`);
const CONF = '/etc/api-router/api-router.conf';
const ASK = `curl -s -m 20 -o /dev/null -w '%{http_code}' http://127.0.0.1:8000/v1/chat/completions -H 'content-type: application/json' \
	-d '{"model":"echo","messages":[{"role":"user","content":"hello"}]}'`;

const sanitized = /\bsan/.test(process.env.API_ROUTER_BUILD ?? '') && 'packages are built without sanitizers';
const BUILDERS = ['dh', 'dpkg-buildpackage'];
const has = (command) => {
	try {
		execFileSync('sh', ['-c', `command -v ${command}`], { stdio: 'ignore' });
		return true;
	} catch {
		return false;
	}
};
// Why a scenario below cannot be; false when it can.
function lacking(...commands) {
	if (underValgrind)
		return 'it runs what is installed, not what is under valgrind';
	const missing = commands.filter((command) => !has(command));
	return missing.length ? `these are missing: ${missing.join(' ')}` : false;
}

// OpenRC itself, of Debian's packages: unpacked, since to install it would take the place of this machine's init. A reason why
// it cannot be had, or false.
function fetchOpenrc() {
	const dir = join(top, 'openrc');
	mkdirSync(dir);
	try {
		execFileSync('apt-get', ['-q', 'download', 'openrc', 'libeinfo1', 'librc1'], { cwd: dir, timeout: 60000, stdio: ['ignore', 'ignore', 'pipe'] });
		return false;
	} catch (error) {
		return `OpenRC cannot be fetched: ${String(error.stderr ?? error.message).trim()}`;
	}
}
// Before the first scenario, since one that builds keeps all else waiting.
const noRoot = lacking('unshare', 'nsenter', 'ip') || await noSystem();
const noOpenrc = lacking('apt-get', 'curl') || noRoot || fetchOpenrc();
const noSystemd = lacking(...BUILDERS, 'curl', 'adduser', 'systemctl') || noRoot || await noSystem({ boot: true });

// The packages, made from a copy of the sources without a repository; once, and without optimisation.
let package_;
function build() {
	package_ ??= (() => {
		const tree = join(top, 'tree');
		cpSync(source, tree, { recursive: true, filter: (path) => !/^(build|\.git)\b/.test(path.slice(source.length)) });
		execFileSync('make', ['-s', '-C', tree, 'deb'], {
			env: { PATH: process.env.PATH, HOME: top, DEB_BUILD_OPTIONS: 'noopt nocheck parallel=2' },
			stdio: ['ignore', 'pipe', 'pipe'],
		});
		return readdirSync(join(tree, 'build/deb')).find((name) => /^api-router_.*\.deb$/.test(name));
	})();
	return join(top, 'tree/build/deb', package_);
}

// A system for a scenario, with the means to say what is expected of its commands.
async function withRoot(s, options) {
	const root = new Root(options);
	s.keep(root);
	await root.start();
	const said = [];
	// The output of a command that must end with a status.
	root.must = async (command, status = 0) => {
		const { code, output } = await root.run(command);
		said.push(`$ ${command}\n${output}[${code}]`);
		assert.equal(code, status, `${command}: ${code}\n${output}`);
		return output.trim();
	};
	root.report = () => said.join('\n');
	assert.ok(!existsSync(root.file(CONF)), 'api-router is not installed on this machine');
	return root;
}
const edit = (root, path, change) => writeFileSync(root.file(path), change(readFileSync(root.file(path), 'utf8')));
// To the configuration as shipped: logs in files. The second worker is there to be counted.
const withLogs = (text) => `${text}
log: { file = "/var/log/api-router/error.log"; };
access_log: { file = "/var/log/api-router/access.log"; };
workers = 2;
`;
// The package again over itself, as an update does: another process serves, and who asks meanwhile sees nothing of it.
async function update(root) {
	const before = await root.must('cat /run/api-router.pid');
	await root.must(`touch /tmp/asking; (while [ -e /tmp/asking ]; do ${ASK}; echo; done) >/tmp/answers 2>&1 &`);
	await root.must('dpkg -i /root/api-router.deb');
	await until(() => !existsSync(root.file(`/proc/${before}`)), 'the old master has gone');
	rmSync(root.file('/tmp/asking'));
	assert.notEqual(await root.must('cat /run/api-router.pid'), before);
	assert.equal(await root.must(ASK), '200');
	assert.equal(await root.must('sort -u /tmp/answers'), '200');
}
// All that has changed in the system and has our name.
const traces = async (root) => (await root.must('find /tmp/changes -name \'*api[-_]router*\' -not -path \'*/root/*\' | sort')).split('\n').filter(Boolean)
	.map((path) => path.replace('/tmp/changes', ''));

scenario('make deb: a source package and a binary one, of the version of the program', async () => {
	const deb = build();
	assert.equal(execFileSync('dpkg-deb', ['-f', deb, 'Version'], { encoding: 'utf8' }).trim(), version);
	const depends = execFileSync('dpkg-deb', ['-f', deb, 'Depends'], { encoding: 'utf8' });
	for (const name of ['libc6', 'libssl3', 'libconfig', 'zlib1g', 'adduser', 'ca-certificates'])
		assert.match(depends, new RegExp(`\\b${name}`));
	const list = execFileSync('tar', ['-tf', built('.tar.xz')], { encoding: 'utf8' }).split('\n').map((name) => name.replace(/^[^/]*\//, ''));
	for (const name of ['debian/rules', 'debian/control', 'GNUmakefile', 'src/process/main.c', 'tests/lib/run.mjs'])
		assert.ok(list.includes(name), name);
	assert.deepEqual(list.filter((name) => /^(build|etc\/debian|\.git)\b|\.[oa]$/.test(name)), []);
	assert.match(readFileSync(built('.dsc'), 'utf8'), /^Format: 3\.0 \(native\)$/m);
}, { ms: 300000, skip: sanitized || lacking(...BUILDERS) });

scenario('the package under the init script: installed it serves, as its user; removed it is gone; purged nothing is left', async (s) => {
	const root = await withRoot(s);
	cpSync(build(), root.file('/root/api-router.deb'));
	await root.must('dpkg -i /root/api-router.deb');
	assert.equal(await root.must(ASK), '200', 'it was started, with the configuration as shipped');
	const pid = await root.must('cat /run/api-router.pid');
	assert.equal(await root.must('service api-router status'), `api-router is running, pid ${pid}`);

	assert.match(await root.must('id api-router'), /^uid=\d{3}\(api-router\) gid=\d+\(api-router\) groups=\d+\(api-router\)$/);
	assert.match(await root.must('getent passwd api-router'), /:\/nonexistent:\/usr\/sbin\/nologin$/);
	assert.deepEqual((await root.must(`ps -o user= --ppid ${pid} | sort -u`)).split('\n'), ['api-router']);
	assert.equal(await root.must(`ps -o user= -p ${pid}`), 'root');
	const modes = {
		[CONF]: '640 root root', '/etc/default/api-router': '640 root root', '/etc/init.d/api-router': '755 root root',
		'/etc/api-router/presets/qwen.conf': '644 root root', '/etc/logrotate.d/api-router': '644 root root',
		'/usr/sbin/api-router': '755 root root', '/lib/systemd/system/api-router.service': '644 root root',
		'/var/log/api-router': '2750 root adm',
		'/usr/share/man/man8/api-router.8.gz': '644 root root', '/usr/share/bash-completion/completions/api-router': '644 root root',
	};
	for (const [path, expected] of Object.entries(modes))
		assert.deepEqual({ [path]: await root.must(`stat -c '%a %U %G' ${path}`) }, { [path]: expected });
	assert.match(await root.must('ls /etc/rc2.d /etc/rc6.d'), /^S\d\dapi-router$[^]*^K\d\dapi-router$/m);
	assert.doesNotMatch(await root.must('grep -l /usr/local/sbin/api-router /etc/init.d/api-router /lib/systemd/system/api-router.service /etc/logrotate.d/api-router; :'), /./);

	// Logs in files, from the next start on: they belong to root, and the group of the directory may read them.
	edit(root, CONF, withLogs);
	await root.must('service api-router restart');
	assert.equal(await root.must(ASK), '200');
	await until(async () => (await root.must('cat /var/log/api-router/access.log')).includes('POST /v1/chat/completions'), 'the request is logged');
	for (const name of ['error', 'access'])
		assert.equal(await root.must(`stat -c '%a %U %G' /var/log/api-router/${name}.log`), '640 root adm');
	assert.match(await root.must('cat /var/log/api-router/error.log'), /ready: 2 workers/);
	await root.must('service api-router reload');
	await until(async () => /ready: 2 workers, generation 2/.test(await root.must('cat /var/log/api-router/error.log')), 'it is reloaded');
	await update(root);
	assert.match(readFileSync(root.file(CONF), 'utf8'), /workers = 2/);

	await root.must('dpkg -r api-router');
	assert.doesNotMatch(await root.must('ps ax -o comm='), /api-router/);
	// Links that say that it is to be started stay with the configuration.
	assert.deepEqual((await traces(root)).filter((path) => !/^\/etc\/rc\d\.d\/|\/systemd\//.test(path)), ['/etc/api-router', CONF, '/etc/default/api-router',
		'/etc/init.d/api-router', '/etc/logrotate.d/api-router', '/var/lib/dpkg/info/api-router.list', '/var/lib/dpkg/info/api-router.postrm',
		'/var/log/api-router']);
	await root.must('dpkg -i /root/api-router.deb');
	assert.match(readFileSync(root.file(CONF), 'utf8'), /workers = 2/, 'what was edited is kept');
	assert.equal(await root.must(ASK), '200');

	await root.must('dpkg -P api-router');
	assert.deepEqual(await traces(root), []);
	assert.ok(!existsSync(root.file('/run/api-router.pid')));
	assert.doesNotMatch(await root.must('ps ax -o comm='), /api-router/);
	assert.match(await root.must('getent passwd api-router'), /nologin$/, 'the account stays, so that its number is not given away');
	await root.must('dpkg -i /root/api-router.deb');
	writeFileSync(root.file('/etc/api-router/key'), 'secret\n');
	await root.must('dpkg -P api-router');
	assert.equal(readFileSync(root.file('/etc/api-router/key'), 'utf8'), 'secret\n', 'a key of the administrator\'s is not taken along');
}, { ms: 300000, skip: sanitized || lacking(...BUILDERS, 'curl', 'adduser') || noRoot });

scenario('OpenRC: start, status, reload, restart, upgrade, stop; a broken configuration stops nothing', async (s) => {
	const root = await withRoot(s);
	cpSync(join(top, 'openrc'), root.file('/root/openrc'), { recursive: true });
	await root.must('for deb in /root/openrc/*.deb; do dpkg-deb --fsys-tarfile $deb | tar -x --keep-directory-symlink -C /; done; ldconfig');
	// As its first run level would have made them.
	await root.must('for d in daemons exclusive failed inactive options scheduled started starting stopping tmp wasinactive; do mkdir -p /run/openrc/$d; done');
	await root.must('mkdir -p /etc/api-router /etc/conf.d && touch /run/openrc/softlevel /etc/insserv.conf');
	cpSync(binary, root.file('/usr/local/sbin/api-router'));
	cpSync(join(source, 'etc/openrc/api-router'), root.file('/etc/init.d/api-router'));
	cpSync(join(source, 'etc/api-router.conf'), root.file(CONF));
	edit(root, CONF, (text) => `${text}log: { file = "/var/log/api-router.log"; };\n`);
	writeFileSync(root.file('/etc/conf.d/api-router'), 'export OPENAI_API_KEY=abcdefgh\n');
	const log = () => root.must('cat /var/log/api-router.log');
	const pid = () => root.must('cat /run/api-router.pid');

	await root.must('rc-service api-router status', 3);
	await root.must('rc-service api-router start');
	assert.equal(await root.must(ASK), '200');
	assert.match(await root.must('rc-service api-router status'), /started/);
	const first = await pid();
	await root.must('rc-service api-router reload');
	await until(async () => /generation 2\n/.test(`${await log()}\n`), 'it was reloaded');
	assert.doesNotMatch(await log(), /OPENAI_API_KEY is not set/, 'the key was found');
	assert.match(await log(), /GEMINI_API_KEY is not set/);
	const good = readFileSync(root.file(CONF));
	edit(root, CONF, (text) => `${text}nonsense = 1;\n`);
	for (const word of ['checkconfig', 'reload', 'restart', 'upgrade'])
		assert.match(await root.must(`! rc-service api-router ${word}`), /nonsense/);
	assert.equal(await pid(), first);
	assert.equal(await root.must(ASK), '200');
	writeFileSync(root.file(CONF), good);
	await root.must('rc-service api-router checkconfig');
	await root.must('rc-service api-router restart');
	assert.notEqual(await pid(), first);
	assert.equal(await root.must(ASK), '200');
	const old = await pid();
	await root.must('rc-service api-router upgrade');
	assert.notEqual(await pid(), old);
	await until(() => !existsSync(root.file(`/proc/${old}`)), 'the old master has gone');
	assert.match(await root.must('rc-service api-router status'), /started/);
	assert.equal(await root.must(ASK), '200');
	await root.must('rc-service api-router stop');
	assert.ok(!existsSync(root.file('/run/api-router.pid')));
	await root.must('rc-service api-router status', 3);
}, { ms: 300000, skip: noOpenrc });

// The master that systemd follows, and when it was last started.
const followed = async (root) => Number((await root.must('systemctl show -p MainPID api-router')).split('=')[1]);

scenario('the package under systemd: as strict as the unit is, it serves, reloads, is upgraded, and stops', async (s) => {
	const root = await withRoot(s, { boot: true });
	cpSync(build(), root.file('/root/api-router.deb'));
	await root.must('dpkg -i /root/api-router.deb');
	assert.equal(await root.must('systemctl is-active api-router'), 'active', 'systemd heard that it is ready');
	assert.equal(await root.must('systemctl is-enabled api-router'), 'enabled');
	assert.equal(await root.must(ASK), '200');
	const first = await followed(root);
	assert.equal(await root.must('cat /run/api-router.pid'), String(first));
	const journal = () => root.must('journalctl -q -o cat -u api-router');
	assert.match(await journal(), /workers run as user api-router/);
	assert.doesNotMatch(await journal(), / (warn|error) (?!resolver)/, 'nothing that it wants is forbidden');

	// What it may do, and its workers, as the kernel has it.
	const status = async (pid) => Object.fromEntries((await root.must(`cat /proc/${pid}/status`)).split('\n').map((line) => line.split(':\t')));
	const worker = Number((await root.must(`pgrep -P ${first} -u api-router`)).split('\n')[0]);
	const [master, minor] = [await status(first), await status(worker)];
	assert.deepEqual([master.NoNewPrivs, master.Seccomp, master.CapEff], ['1', '2', '00000000000004e2']);
	assert.deepEqual([minor.NoNewPrivs, minor.CapEff, minor.CapPrm], ['1', '0000000000000000', '0000000000000000']);
	for (const path of ['/etc/api-router/x', '/usr/x', '/var/lib/x', '/root/x', '/home/x'])
		await root.must(`! nsenter -t ${first} -m touch ${path}`);

	// Logs in files, and a key in the environment, from the next start on.
	edit(root, CONF, withLogs);
	writeFileSync(root.file('/etc/default/api-router'), 'OPENAI_API_KEY=abcdefgh\n');
	await root.must('systemctl restart api-router');
	assert.equal(await root.must(ASK), '200');
	const log = () => root.must('cat /var/log/api-router/error.log');
	assert.doesNotMatch(await log(), /Read-only|ermission/);
	for (const name of ['error', 'access'])
		assert.equal(await root.must(`stat -c '%a %U %G' /var/log/api-router/${name}.log`), '640 root adm');
	await root.must('mv /var/log/api-router/access.log /var/log/api-router/access.log.1 && logrotate -f -s /tmp/state /etc/logrotate.d/api-router');
	await until(async () => /log files reopened/.test(await log()), 'logs are reopened');

	await root.must('systemctl reload api-router');
	await until(async () => /generation 2\n/.test(`${await log()}\n`), 'it is reloaded');
	assert.match(await log(), /GEMINI_API_KEY is not set/);
	assert.doesNotMatch(await log(), /OPENAI_API_KEY is not set/);
	const good = readFileSync(root.file(CONF));
	edit(root, CONF, (text) => `${text}nonsense = 1;\n`);
	await root.must('! systemctl reload api-router');
	assert.match(await journal(), /api-router\.conf:\d+: nonsense is unknown/);
	assert.equal(await root.must(ASK), '200', 'what runs goes on');
	writeFileSync(root.file(CONF), good);

	// The program on disk takes over; the service is the same one, with another master.
	const old = await followed(root);
	await root.must('/etc/init.d/api-router upgrade');
	await until(async () => (await followed(root)) !== old, 'systemd follows the new master');
	assert.equal(await root.must('cat /run/api-router.pid'), String(await followed(root)));
	await until(async () => !existsSync(root.file(`/proc/${old}`)), 'the old master has gone');
	assert.equal(await root.must('systemctl is-active api-router'), 'active');
	assert.equal(await root.must(ASK), '200');
	await root.must('systemctl reload api-router');

	await update(root);

	// A watchdog that hears nothing.
	const stopped = await followed(root);
	await root.must('mkdir -p /run/systemd/system/api-router.service.d');
	writeFileSync(root.file('/run/systemd/system/api-router.service.d/watchdog.conf'), '[Service]\nWatchdogSec=1\nTimeoutAbortSec=1\n');
	await root.must('systemctl daemon-reload && systemctl restart api-router');
	await root.must(`kill -STOP ${await followed(root)}`);
	await until(async () => (await root.must('systemctl show -p NRestarts api-router')) === 'NRestarts=1' &&
		(await root.must('systemctl is-active api-router || :')) === 'active', 'the stopped master is replaced', 30000);
	assert.notEqual(await followed(root), stopped);
	assert.equal(await root.must(ASK), '200');

	edit(root, CONF, (text) => `${text}nonsense = 1;\n`);
	await root.must('! systemctl restart api-router');
	assert.match(await root.must('systemctl show -p ExecMainStatus api-router'), /=78$/);
	assert.equal(await root.must('systemctl is-active api-router || :'), 'failed', 'another try would end the same way');
	writeFileSync(root.file(CONF), good);
	await root.must('systemctl start api-router');
	await root.must('systemctl stop api-router');
	assert.match(await root.must('systemctl show -p Result api-router'), /=success$/);
	assert.doesNotMatch(await root.must('ps ax -o comm='), /api-router/);
	await root.must('systemctl start api-router && dpkg -P api-router');
	assert.doesNotMatch(await root.must('ps ax -o comm='), /api-router/);
	assert.deepEqual((await traces(root)).filter((path) => !/^\/(tmp|run)\//.test(path)), []);
}, { ms: 300000, skip: sanitized || noSystemd });
