// install: what make install puts where, what it keeps, and what make uninstall leaves.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { binary } from '../lib/daemon.mjs';
import { scenario } from '../lib/scenario.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));

// The binary under test is taken as it is (-o): nothing is built here.
function make(target, variables) {
	const given = Object.entries({ daemon: binary, ...variables }).map(([name, value]) => `${name}=${value}`);
	const env = { PATH: process.env.PATH };
	return execFileSync('make', ['-s', '-C', root, '-o', binary, target, ...given], { encoding: 'utf8', env });
}
const files = (dir, under = '') =>
	readdirSync(join(dir, under), { withFileTypes: true }).flatMap((entry) =>
		entry.isDirectory() ? files(dir, join(under, entry.name)) : [join(under, entry.name)]).sort();

const DEFAULT = [
	'etc/api-router/api-router.conf', 'etc/init.d/api-router', 'lib/systemd/system/api-router.service',
	'usr/local/sbin/api-router', 'usr/local/share/man/man5/api-router.conf.5', 'usr/local/share/man/man8/api-router.8',
];

scenario('make install and uninstall with DESTDIR; the configuration is kept by both', async (s) => {
	const dir = s.temporaryDirectory();
	make('install', { DESTDIR: dir });
	assert.deepEqual(files(dir), DEFAULT);
	const mode = (file) => statSync(join(dir, file)).mode & 0o777;
	assert.equal(mode('usr/local/sbin/api-router'), 0o755);
	assert.equal(mode('etc/init.d/api-router'), 0o755);
	assert.equal(mode('etc/api-router/api-router.conf'), 0o640);
	assert.equal(mode('lib/systemd/system/api-router.service'), 0o644);
	const installed = join(dir, 'usr/local/sbin/api-router');
	const checked = execFileSync(installed, ['-t', '-c', join(dir, 'etc/api-router/api-router.conf')], { encoding: 'utf8', stdio: 'pipe' });
	assert.match(checked, /^(api-router: .*: ok\n)?$/);

	writeFileSync(join(dir, 'etc/api-router/api-router.conf'), 'mine');
	assert.match(make('install', { DESTDIR: dir }), /api-router\.conf is there already: kept/);
	assert.equal(readFileSync(join(dir, 'etc/api-router/api-router.conf'), 'utf8'), 'mine');
	make('uninstall', { DESTDIR: dir });
	assert.deepEqual(files(dir), ['etc/api-router/api-router.conf']);
});

scenario('the variables of make install move each part, and the service files follow', async (s) => {
	const dir = s.temporaryDirectory();
	const where = { DESTDIR: dir, PREFIX: '/opt/ar', SBINDIR: '/opt/ar/bin', MANDIR: '/m', SYSCONFDIR: '/opt/etc', UNITDIR: '/u' };
	make('install', where);
	assert.deepEqual(files(dir), ['m/man5/api-router.conf.5', 'm/man8/api-router.8', 'opt/ar/bin/api-router',
		'opt/etc/api-router/api-router.conf', 'opt/etc/init.d/api-router', 'u/api-router.service']);
	for (const file of ['opt/etc/init.d/api-router', 'u/api-router.service']) {
		const text = readFileSync(join(dir, file), 'utf8');
		assert.match(text, /\/opt\/ar\/bin\/api-router/);
		assert.ok(!text.includes('/usr/local/sbin/api-router'), file);
	}
	make('uninstall', where);
	assert.deepEqual(files(dir), ['opt/etc/api-router/api-router.conf']);

	const bare = s.temporaryDirectory();
	make('install', { DESTDIR: bare, INITDIR: '', UNITDIR: '' });
	assert.deepEqual(files(bare), DEFAULT.filter((f) => !f.includes('init.d') && !f.includes('systemd')));
	assert.ok(!existsSync(join(bare, 'lib')));
});
