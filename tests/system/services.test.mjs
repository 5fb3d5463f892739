// services: the files of etc/ for other programs, each read by the program that it is for: completion by bash, rotation by
// logrotate under load, accounts and directories by systemd's tools, the unit by systemd-analyze; the script for a BSD's rc.d
// by a stub of rc.subr. Whole systems are in package.test.mjs.

import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { binary } from '../lib/daemon.mjs';
import { Load } from '../lib/load.mjs';
import { alive } from '../lib/processes.mjs';
import { scenario, underValgrind, until } from '../lib/scenario.mjs';

const source = fileURLToPath(new URL('../..', import.meta.url));
const etc = (name) => join(source, 'etc', name);
const chat = { path: '/v1/chat/completions', json: { model: 'echo', messages: [{ role: 'user', content: 'hello' }] } };

function run(command, args, options = {}) {
	return new Promise((done) => {
		execFile(command, args, options, (error, stdout, stderr) => done({ code: error ? error.code : 0, output: stdout + stderr }));
	});
}
// A reason to leave a scenario out, or false.
function lacking(...commands) {
	const missing = commands.filter((command) => {
		try {
			execFileSync('sh', ['-c', `command -v ${command}`], { stdio: 'ignore' });
			return false;
		} catch {
			return true;
		}
	});
	return missing.length ? `these are missing: ${missing.join(' ')}` : false;
}
const asRoot = process.getuid() === 0 ? false : 'only root can give files away';
// A file of etc/ in a directory, with the places of a test in it.
function placed(dir, name, places) {
	let text = readFileSync(etc(name), 'utf8');
	for (const [from, to] of Object.entries(places)) {
		assert.ok(text.includes(from), `${name} has ${from}`);
		text = text.replaceAll(from, to);
	}
	const path = join(dir, name.replaceAll('/', '-'));
	writeFileSync(path, text);
	return path;
}

scenario('completion knows the options and words that -h tells, and completes files for -c', async (s) => {
	const dir = s.temporaryDirectory();
	for (const name of ['one.conf', 'one two.conf', 'other'])
		writeFileSync(join(dir, name), '');
	// What is offered at the end of a line; its last word is what is typed of the word so far.
	const offered = async (...words) => {
		const script = `. ${etc('bash-completion/api-router')}; COMP_WORDS=(api-router "$@"); COMP_CWORD=$#
			$(complete -p api-router | sed -n 's/.*-F \\([a-z_]*\\) .*/\\1/p'); printf '%s\\n' "\${COMPREPLY[@]}"`;
		const { code, output } = await run('bash', ['--norc', '-c', script, 'bash', ...words], { cwd: dir });
		assert.equal(code, 0, output);
		return output.split('\n').filter(Boolean).sort();
	};
	const usage = execFileSync(binary, ['-h'], { encoding: 'utf8' });
	const options = [...usage.matchAll(/^ {2}(-\w)/gm)].map((m) => m[1]);
	const words = [...usage.matchAll(/^ {11}([a-z]+) .*\([A-Z0-9]+\)$/gm)].map((m) => m[1]);
	assert.ok(options.includes('-c') && words.includes('reload'));
	assert.deepEqual(await offered(''), options.sort());
	assert.deepEqual(await offered('-'), options);
	assert.deepEqual(await offered('-D', '-'), options);
	for (const before of ['-s', '-Ds'])
		assert.deepEqual(await offered(before, ''), words.sort());
	assert.deepEqual(await offered('-s', 're'), words.filter((word) => word.startsWith('re')));
	assert.deepEqual(await offered('-t', '-c', ''), ['one two.conf', 'one.conf', 'other']);
	assert.deepEqual(await offered('-c', 'one '), ['one two.conf']);
	for (const before of ['-k', '-p'])
		assert.deepEqual(await offered(before, ''), []);
}, { skip: lacking('bash') });

scenario('logrotate under load: every line is in one of the files, and all go on in new ones', async (s) => {
	const d = s.command({});
	const logs = join(d.dir, 'logs');
	mkdirSync(logs);
	chmodSync(logs, 0o755);
	d.writeConfig({
		workers: 2,
		providers: { echo: { dialect: 'echo', models: ['echo'] } },
		access_log: { file: join(logs, 'access.log') },
	});
	const rotate = () => run('logrotate', ['-f', '-s', join(d.dir, 'state'), conf]);
	const conf = placed(d.dir, 'logrotate.d/api-router', {
		'/var/log/api-router/': `${logs}/`, '/usr/local/sbin/api-router -s': `${binary} -c ${d.configFile} -s`,
	});
	await d.start();
	const load = s.keep(new Load(d, { clients: 6 }));
	for (let i = 0; i < 3; i++) {
		await load.more(50);
		const { code, output } = await rotate();
		assert.deepEqual([code, output], [0, '']);
		await until(() => d.log.split('log files reopened').length === i + 2, 'the master goes on in a new file');
		await load.more(50);
		await until(() => statSync(join(logs, 'access.log')).size > 0, 'the workers write to it');
	}
	await load.stop();
	assert.deepEqual(load.failed, []);
	const all = () => readdirSync(logs).filter((name) => name.startsWith('access.log')).sort();
	assert.deepEqual(all(), ['access.log', 'access.log.1', 'access.log.2.gz', 'access.log.3.gz']);
	const lines = () => all().map((name) => readFileSync(join(logs, name))).map((data, i) => (all()[i].endsWith('.gz') ? gunzipSync(data) : data).toString())
		.join('').split('\n').filter((line) => line.includes('POST /v1/chat/completions'));
	await until(() => lines().length >= load.done, 'the last lines are written');
	assert.equal(lines().length, load.done);
	await d.stop();
	const { code, output } = await rotate();
	assert.deepEqual([code, output], [0, ''], 'where nobody runs it is no error');
}, { skip: lacking('logrotate') });

scenario('the account of sysusers.d and the directory of tmpfiles.d, as systemd makes them', async (s) => {
	const dir = s.temporaryDirectory();
	for (const [to, name] of [['usr/lib/sysusers.d', 'sysusers.d'], ['usr/lib/tmpfiles.d', 'tmpfiles.d']]) {
		mkdirSync(join(dir, to), { recursive: true });
		writeFileSync(join(dir, to, 'api-router.conf'), readFileSync(etc(`${name}/api-router.conf`)));
	}
	mkdirSync(join(dir, 'etc'));
	writeFileSync(join(dir, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\n');
	writeFileSync(join(dir, 'etc/group'), 'root:x:0:\nadm:x:4:\n');
	const users = await run('systemd-sysusers', [`--root=${dir}`, 'api-router.conf']);
	assert.equal(users.code, 0, users.output);
	assert.match(readFileSync(join(dir, 'etc/passwd'), 'utf8'), /^api-router:x:\d{1,3}:\d{1,3}:API Router:\/nonexistent:\/usr\/sbin\/nologin$/m);
	assert.match(readFileSync(join(dir, 'etc/group'), 'utf8'), /^api-router:x:\d{1,3}:$/m);
	const made = await run('systemd-tmpfiles', [`--root=${dir}`, '--create', 'api-router.conf']);
	assert.equal(made.code, 0, made.output);
	const { mode, uid, gid } = statSync(join(dir, 'var/log/api-router'));
	assert.deepEqual([(mode & 0o7777).toString(8), uid, gid], ['2750', 0, 4]);
}, { skip: asRoot || lacking('systemd-sysusers', 'systemd-tmpfiles') });

scenario('the unit: systemd reads all of it, and rates its exposure at 2.7 of 10 or less', async (s) => {
	const dir = s.temporaryDirectory();
	const text = readFileSync(etc('systemd/api-router.service'), 'utf8').replaceAll('/usr/local/sbin/api-router', binary);
	const unit = join(dir, 'api-router.service');
	// It also looks for the manuals, which are not installed here.
	writeFileSync(unit, text.replace(/^Documentation=.*\n/m, ''));
	const verified = await run('systemd-analyze', ['verify', '--man=no', unit]);
	assert.deepEqual([verified.code, verified.output.split('\n').filter((line) => line.includes('api-router'))], [0, []]);
	const rated = await run('systemd-analyze', ['security', '--offline=true', '--threshold=27', unit], { env: { ...process.env, LC_ALL: 'C' } });
	assert.equal(rated.code, 0, rated.output);
	assert.match(rated.output, /Overall exposure level for api-router\.service: [0-9.]+ OK/);
}, { skip: lacking('systemd-analyze') });

scenario('the rc.d script: start, status, reload, restart, upgrade, stop; a broken configuration stops nothing', async (s) => {
	const dir = s.temporaryDirectory();
	chmodSync(dir, 0o755);
	const at = (name) => join(dir, name);
	const conf = `listen = ( { address = "127.0.0.1"; port = 0; } ); pid_file = "${at('pid')}"; workers = 1;
		log: { file = "${at('log')}"; }; access_log: { file = "off"; };
		providers: { echo: { dialect = "echo"; models = ( "echo" ); }; key: { dialect = "openai"; base_url = "http://127.0.0.1:9"; api_key = "env:THE_KEY"; }; };\n`;
	writeFileSync(at('conf'), conf);
	writeFileSync(at('rc.conf'), `api_router_enable=YES api_router_flags="-c ${at('conf')}" api_router_pidfile=${at('pid')} api_router_env=THE_KEY=abcdefgh\n`);
	const script = placed(dir, 'rc.d/api_router', { '/usr/local/sbin/api-router': binary, '/etc/rc.subr': join(source, 'tests/lib/rc.subr') });
	const rc = (word, rcConf = at('rc.conf')) => run('sh', [script, word], { env: { PATH: process.env.PATH, RC_CONF: rcConf } });
	const log = () => readFileSync(at('log'), 'utf8');
	const pid = () => Number(readFileSync(at('pid'), 'utf8'));
	const port = () => Number([...log().matchAll(/listening on 127\.0\.0\.1:(\d+)/g)].at(-1)[1]);
	s.keep({
		stop: () => existsSync(at('pid')) && alive(pid()) && process.kill(pid(), 'SIGTERM'),
		report: () => `--- the log\n${existsSync(at('log')) ? log() : ''}`,
	});

	writeFileSync(at('off'), '');
	assert.match((await rc('start', at('off'))).output, /Set api_router_enable to YES/, 'nothing is started that was not asked for');
	assert.equal((await rc('status')).code, 1);
	for (const word of ['reload', 'stop', 'upgrade']) {
		const refused = await rc(word);
		assert.equal(refused.code, 1, word);
		assert.match(refused.output, /not running/);
	}
	const start = await rc('start');
	assert.equal(start.code, 0, start.output);
	const first = pid();
	assert.equal((await s.request(port(), chat)).status, 200);
	assert.ok(!/THE_KEY/.test(log()), 'the key was found');
	assert.equal((await rc('status')).output, `api_router is running as pid ${first}.\n`);

	assert.equal((await rc('reload')).code, 0);
	await until(() => /ready: 1 workers, generation 2\n/.test(log()), 'it was reloaded');
	writeFileSync(at('conf'), `${conf}nonsense = 1;\n`);
	for (const word of ['configtest', 'reload', 'restart', 'upgrade']) {
		const refused = await rc(word);
		assert.notEqual(refused.code, 0, word);
		assert.match(refused.output, /nonsense/, word);
	}
	assert.equal(pid(), first);
	assert.equal((await s.request(port(), chat)).status, 200);
	writeFileSync(at('conf'), conf);
	assert.equal((await rc('configtest')).code, 0);
	assert.equal((await rc('restart')).code, 0);
	assert.ok(pid() !== first && !alive(first));
	assert.equal((await s.request(port(), chat)).status, 200);
	const second = pid();
	const upgrade = await rc('upgrade');
	assert.equal(upgrade.code, 0, upgrade.output);
	const third = pid();
	assert.notEqual(third, second);
	await until(() => !alive(second) && !existsSync(at('pid.oldbin')), 'the old master has gone');
	assert.equal((await s.request(port(), chat)).status, 200);
	assert.equal((await rc('stop')).code, 0);
	assert.ok(!alive(third) && !existsSync(at('pid')));
	assert.equal((await rc('start')).code, 0, 'and again');
	assert.equal((await rc('stop')).code, 0);
	rmSync(at('log'));
}, { skip: underValgrind && 'the script knows its daemon by the name of the file' });
