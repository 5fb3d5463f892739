// install: what `make install` puts where, what it leaves alone, and the init script of an installed daemon.
//
// The daemon is built here once more, without optimisation, since where its configuration is expected is compiled into it.

import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { fileURLToPath } from 'node:url';
import { scenario, until } from '../lib/scenario.mjs';
import { alive } from '../lib/processes.mjs';

const source = fileURLToPath(new URL('../..', import.meta.url));
const top = mkdtempSync(join(tmpdir(), 'api-router-install-'));
after(() => rmSync(top, { recursive: true, force: true }));
const chat = { path: '/v1/chat/completions', json: { model: 'echo', messages: [{ role: 'user', content: 'hello' }] } };

// A command: { code, output }. Nothing of the make that runs the tests reaches it.
function run(command, args, env = {}) {
	const clean = Object.fromEntries(['PATH', 'HOME', 'LANG'].map((name) => [name, process.env[name]]));
	return new Promise((done) => {
		execFile(command, args, { env: { ...clean, ...env }, cwd: top, maxBuffer: 1 << 24 }, (error, stdout, stderr) =>
			done({ code: error ? error.code : 0, output: stdout + stderr }));
	});
}
async function make(target, variables) {
	const all = { B: join(top, 'build'), CFLAGS: '-O0', LTO: '', SYSCONFDIR: '/etc/odd', ...variables };
	const result = await run('make', ['-C', source, '-j2', target, ...Object.entries(all).map((pair) => pair.join('='))]);
	assert.equal(result.code, 0, result.output);
	return result.output;
}
// Every file below a directory: { 'usr/local/sbin/api-router': '755', ... }.
function files(dir) {
	return Object.fromEntries(readdirSync(dir, { recursive: true }).filter((name) => statSync(join(dir, name)).isFile()).sort()
		.map((name) => [name, (statSync(join(dir, name)).mode & 0o7777).toString(8)]));
}

const presets = Object.fromEntries(['anthropic', 'cohere', 'gemini', 'generic', 'ollama-cloud', 'ollama-local', 'openai', 'qwen']
	.map((name) => [`etc/odd/api-router/presets/${name}.conf`, '644']));
// Every manual page of the sources, below MANDIR.
const pages = (dir) => Object.fromEntries(readdirSync(join(source, 'man')).map((name) => [`${dir}/man${name.at(-1)}/${name}`, '644']));
// The directories of single files, all of them elsewhere or none.
const PARTS = { INITDIR: '/parts/init', UNITDIR: '/parts/units', SYSUSERSDIR: '/parts/sysusers', TMPFILESDIR: '/parts/tmpfiles',
	LOGROTATEDIR: '/parts/logrotate', BASHCOMPDIR: '/parts/completions', OPENRCDIR: '/parts/openrc', RCDIR: '/parts/rc' };
const PART_FILES = { 'completions/api-router': '644', 'init/api-router': '755', 'logrotate/api-router': '644', 'openrc/api-router': '755',
	'rc/api_router': '755', 'sysusers/api-router.conf': '644', 'tmpfiles/api-router.conf': '644', 'units/api-router.service': '644' };
// Below DATADIR.
const DATA = { 'convert-config': '755', 'grafana/api-router.json': '644', 'openapi.yaml': '644', 'prometheus/alerts.yml': '644', 'prometheus/scrape.yml': '644' };
const dataIn = (dir) => Object.fromEntries(Object.entries(DATA).map(([name, mode]) => [`${dir}/${name}`, mode]));

scenario('install puts each file in its place, keeps a configuration, and uninstall removes all but that', async () => {
	const dir = join(top, 'all');
	const conf = join(dir, 'etc/odd/api-router/api-router.conf');
	const expected = {
		'etc/odd/api-router/api-router.conf': '640',
		'etc/odd/init.d/api-router': '755',
		'etc/odd/logrotate.d/api-router': '644',
		'lib/systemd/system/api-router.service': '644',
		'usr/lib/sysusers.d/api-router.conf': '644',
		'usr/lib/tmpfiles.d/api-router.conf': '644',
		'usr/local/sbin/api-router': '755',
		'usr/local/share/bash-completion/completions/api-router': '644',
		...pages('usr/local/share/man'),
		...presets,
		...dataIn('usr/local/share/api-router'),
	};
	await make('install', { DESTDIR: dir });
	assert.deepEqual(files(dir), expected);
	assert.deepEqual(readFileSync(conf), readFileSync(join(source, 'etc/api-router.conf')));
	for (const name of Object.keys(presets))
		assert.deepEqual(readFileSync(join(dir, name)), readFileSync(join(source, name.replace('odd/api-router/', ''))), name);
	for (const name of Object.keys(DATA))
		assert.deepEqual(readFileSync(join(dir, 'usr/local/share/api-router', name)), readFileSync(join(source, 'etc', name)), name);

	writeFileSync(conf, 'mine\n');
	const qwen = join(dir, 'etc/odd/api-router/presets/qwen.conf');
	writeFileSync(qwen, 'old\n');
	const output = await make('install', { DESTDIR: dir });
	assert.match(output, /api-router\.conf is there already: kept/);
	assert.deepEqual(files(dir), expected);
	assert.equal(readFileSync(conf, 'utf8'), 'mine\n');
	assert.deepEqual(readFileSync(qwen), readFileSync(join(source, 'etc/presets/qwen.conf')), 'a preset is nobody\'s to change');

	await make('uninstall', { DESTDIR: dir });
	assert.deepEqual(files(dir), { 'etc/odd/api-router/api-router.conf': '640' });
	for (const name of ['etc/odd/api-router/presets', 'usr/local/share/api-router'])
		assert.ok(!existsSync(join(dir, name)), `${name} is gone`);
	assert.equal(readFileSync(conf, 'utf8'), 'mine\n');
	await make('uninstall', { DESTDIR: dir }); // a second time is no error

	await make('install', { DESTDIR: dir });
	const own = 'etc/odd/api-router/presets/my.conf';
	writeFileSync(join(dir, own), 'mine too\n');
	assert.match(await make('uninstall', { DESTDIR: dir }), /api-router\/presets is kept: it is not empty/);
	assert.deepEqual(Object.keys(files(dir)), ['etc/odd/api-router/api-router.conf', own]);
}, { ms: 300000 });

scenario('the variables move every part, and the service files follow', async () => {
	const dir = join(top, 'moved');
	const moved = { DESTDIR: dir, PREFIX: '/usr', MANDIR: '/usr/man', DATADIR: '/srv/data', ...PARTS };
	await make('install', moved);
	const parts = Object.fromEntries(Object.entries(PART_FILES).map(([name, mode]) => [`parts/${name}`, mode]));
	assert.deepEqual(files(dir), { 'etc/odd/api-router/api-router.conf': '640', ...presets, ...parts, ...dataIn('srv/data'), ...pages('usr/man'),
		'usr/sbin/api-router': '755' });
	const text = (name) => readFileSync(join(dir, 'parts', name), 'utf8');
	assert.match(text('init/api-router'), /^DAEMON=\/usr\/sbin\/api-router$/m);
	assert.match(text('units/api-router.service'), /^ExecStart=\/usr\/sbin\/api-router$/m);
	assert.match(text('openrc/api-router'), /^command="\$\{DAEMON:-\/usr\/sbin\/api-router\}"$/m);
	assert.match(text('rc/api_router'), /^\tcommand="\/usr\/sbin\/api-router"$/m);
	assert.match(text('logrotate/api-router'), /^\t\t\/usr\/sbin\/api-router -s reopen /m);
	for (const name of Object.keys(PART_FILES))
		assert.ok(!text(name).includes('/usr/local/sbin/api-router'), name);
	await make('uninstall', moved);
	assert.deepEqual(Object.keys(files(dir)), ['etc/odd/api-router/api-router.conf']);
	const none = join(top, 'none');
	await make('install', { DESTDIR: none, ...Object.fromEntries(Object.keys(PARTS).map((name) => [name, ''])) });
	assert.deepEqual(Object.keys(files(none)), ['etc/odd/api-router/api-router.conf', ...Object.keys(presets), 'usr/local/sbin/api-router',
		...Object.keys(dataIn('usr/local/share/api-router')), ...Object.keys(pages('usr/local/share/man'))].sort());
}, { ms: 300000 });

scenario('the installed binary looks for its configuration below SYSCONFDIR', async () => {
	const binary = join(top, 'all2/usr/local/sbin/api-router');
	await make('install', { DESTDIR: join(top, 'all2') });
	const lost = await run(binary, ['-t']);
	assert.equal(lost.code, 78);
	assert.match(lost.output, /^\/etc\/odd\/api-router\/api-router\.conf: .*No such file or directory; the option -c names another\n/);
	const shipped = join(top, 'all2/etc/odd/api-router/api-router.conf');
	const good = await run(binary, ['-t'], { API_ROUTER_CONFIG_PATH: shipped });
	assert.equal(good.code, 0);
	assert.match(good.output, new RegExp(`api-router: ${shipped}: ok\n$`));
}, { ms: 300000 });

scenario('the init script of an installed daemon: start, status, reload, restart, upgrade, stop', async (s) => {
	const dir = join(top, 'init');
	await make('install', { DESTDIR: dir });
	const conf = join(dir, 'etc/odd/api-router/api-router.conf');
	const pidFile = join(dir, 'pid');
	const log = () => readFileSync(join(dir, 'log'), 'utf8');
	const pid = () => Number(readFileSync(pidFile, 'utf8'));
	const text = `listen = ( { address = "127.0.0.1"; port = 0; } ); pid_file = "${pidFile}"; workers = 1;
		log: { file = "${dir}/log"; }; access_log: { file = "off"; };
		providers: { echo: { dialect = "echo"; models = ( "echo" ); }; key: { dialect = "openai"; base_url = "http://127.0.0.1:9"; api_key = "env:THE_KEY"; }; };\n`;
	writeFileSync(conf, text);
	// As an administrator would redirect it; the variables reach the daemon.
	writeFileSync(join(dir, 'default'),
		`DAEMON=${dir}/usr/local/sbin/api-router\nOPTIONS="-c ${conf}"\nPIDFILE=${pidFile}\nTHE_KEY=abcdefgh\n`);
	const script = join(dir, 'etc/odd/init.d/api-router');
	const init = (word) => run('sh', [script, word], { API_ROUTER_DEFAULTS: join(dir, 'default') });
	s.keep({
		stop: () => {
			if (existsSync(pidFile) && pid() !== process.pid && alive(pid()))
				process.kill(pid(), 'SIGTERM');
		},
		report: () => `--- the log\n${existsSync(join(dir, 'log')) ? log() : ''}`,
	});
	execFileSync('sh', ['-n', script]);

	assert.equal((await init('status')).code, 3);
	assert.equal((await init('stop')).code, 0, 'to stop what is not running is no error');
	for (const word of ['reload', 'upgrade'])
		assert.equal((await init(word)).code, 7);
	const start = await init('start');
	assert.equal(start.code, 0, start.output);
	const first = pid();
	const port = () => Number([...log().matchAll(/listening on 127\.0\.0\.1:(\d+)/g)].at(-1)[1]);
	assert.equal((await s.request(port(), chat)).status, 200);
	assert.ok(!/THE_KEY/.test(log()), 'the key was found');
	const status = await init('status');
	assert.deepEqual([status.code, status.output], [0, `api-router is running, pid ${first}\n`]);
	assert.equal((await init('start')).code, 0, 'to start what runs is no error');
	assert.equal(pid(), first);

	assert.equal((await init('reload')).code, 0);
	await until(() => /ready: 1 workers, generation 2\n/.test(log()), 'it was reloaded');
	writeFileSync(conf, `${text}nonsense = 1;\n`);
	for (const word of ['reload', 'restart', 'upgrade']) {
		const refused = await init(word);
		assert.equal(refused.code, 78, `${word} with a broken file is refused`);
		assert.match(refused.output, /nonsense/);
	}
	assert.equal(pid(), first);
	assert.equal((await s.request(port(), chat)).status, 200);
	writeFileSync(conf, text);
	assert.equal((await init('restart')).code, 0);
	const second = pid();
	assert.ok(second !== first && alive(second) && !alive(first));
	assert.equal((await s.request(port(), chat)).status, 200);

	const upgrade = await init('upgrade');
	assert.equal(upgrade.code, 0, upgrade.output);
	const third = pid();
	assert.notEqual(third, second);
	await until(() => !alive(second) && !existsSync(`${pidFile}.oldbin`), 'the old master has gone');
	assert.equal((await s.request(port(), chat)).status, 200);
	// One that finds nothing wrong, and then ends before it serves.
	const program = join(dir, 'usr/local/sbin/api-router');
	renameSync(program, `${program}.good`);
	writeFileSync(program, '#!/bin/sh\ncase "$*" in *-t*) exit 0 ;; esac\nsleep 2\nexit 1\n', { mode: 0o755 });
	const failed = await init('upgrade');
	assert.deepEqual([failed.code, /^no new master after \d+ s: process (\d+) goes on/m.exec(failed.output)?.[1]], [1, String(third)]);
	renameSync(`${program}.good`, program);
	assert.ok(pid() === third && alive(third) && !existsSync(`${pidFile}.oldbin`));
	assert.equal((await s.request(port(), chat)).status, 200);

	assert.equal((await init('stop')).code, 0);
	assert.ok(!alive(third), 'stop waits for the end');
	assert.ok(!existsSync(pidFile));
	assert.equal((await init('status')).code, 3);
	writeFileSync(pidFile, `${process.pid}\n`);
	assert.equal((await init('status')).code, 1, 'a pid file of another process is not taken for ours');
	assert.equal((await init('stop')).code, 0);
	rmSync(pidFile);
	assert.equal((await init('nonsense')).code, 2);
}, { ms: 300000 });
