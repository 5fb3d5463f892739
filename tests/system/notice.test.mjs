// notice: reload = "auto": the master sees for itself that a file of its configuration has changed.

import assert from 'node:assert/strict';
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { limit, scenario, until } from '../lib/scenario.mjs';
import { Load } from '../lib/load.mjs';
import { workers } from '../lib/processes.mjs';

const provider = (...models) => ({ echo: { dialect: 'echo', models, echo: { interval: 0.005 } } });
const config = (more) => ({ reload: 'auto', providers: provider('echo'), ...more });
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const generations = (d) => [...d.log.matchAll(/ready: \d+ workers, generation (\d+)\n/g)].length;
const readings = (d) => [...d.log.matchAll(/reading \S+ again\n/g)].length;

// The log says within 2 seconds that the generation serves.
const serves = (d, generation) => d.waitLog(new RegExp(`ready: \\d+ workers, generation ${generation}\n`), { ms: 2000 });

scenario('a changed file is loaded within 2 seconds, once, and no request is lost', async (s) => {
	const d = await s.daemon(config({ workers: 2 }));
	const load = s.keep(new Load(d, { clients: 6 }));
	await load.more(20);
	const before = workers(d);
	d.writeConfig(config({ workers: 2, providers: provider('echo', 'other') }));
	await serves(d, 2);
	assert.match(d.log, /info master\[\d+\]: \S+\/api-router\.conf has changed\n/);
	await load.more(20);
	const reply = await s.request(d, { path: '/v1/models' });
	assert.deepEqual(reply.json.data.map((m) => m.id), ['echo', 'other']);
	await wait(limit(1500)); // long enough for a second one, if there were any
	assert.deepEqual([generations(d), readings(d)], [2, 1]);
	await load.stop();
	assert.deepEqual(load.failed, [], load.report());
	await until(() => workers(d).every((pid) => !before.includes(pid)), 'the old ones have gone');
});

scenario('what an editor does: a new file in the place of the old one, and several writes in a row', async (s) => {
	const d = await s.daemon(config());
	const next = join(d.dir, 'next.conf');
	writeFileSync(next, d.config.replace('"echo" )', '"one" )'));
	renameSync(next, d.configFile);
	await serves(d, 2);
	// Cut short, then written in pieces: looked at only when it stands still.
	writeFileSync(d.configFile, '');
	const text = d.config.replace('"echo" )', '"two" )');
	let longest = 0;
	for (let at = 0; at < text.length; at += 60) {
		const start = Date.now();
		writeFileSync(d.configFile, text.slice(0, at + 60));
		await wait(100);
		longest = Math.max(longest, Date.now() - start);
	}
	await serves(d, 3);
	if (longest < 400) // else it did stand still
		assert.ok(!/error/.test(d.log), 'nothing half-written was read');
	const reply = await s.request(d, { path: '/v1/models' });
	assert.deepEqual(reply.json.data.map((m) => m.id), ['two']);
});

scenario('included files count, also those of a configuration that failed', async (s) => {
	const d = s.command(null);
	const write = (name, text) => writeFileSync(join(d.dir, name), text);
	const echo = (model) => `providers: { echo: { dialect = "echo"; models = ( "${model}" ); }; };\n`;
	const main = `listen = ( { port = 0; } ); workers = 1; pid_file = ""; reload = "auto"; access_log: { format = "json"; };\n`;
	write('more.conf', echo('one'));
	d.writeConfig(`${main}@include "more.conf"\n`);
	await d.start();
	write('more.conf', echo('two'));
	await serves(d, 2);
	// A file that is not there yet.
	d.writeConfig(`${main}@include "later.conf"\n`);
	await d.waitLog(/reload failed: generation 2 stays in service\n/);
	const failed = readings(d);
	await wait(limit(1500));
	assert.equal(readings(d), failed, 'a broken configuration is read once');
	write('later.conf', 'providers: { nonsense };\n');
	await until(() => readings(d) === failed + 1, 'the new file was looked at');
	write('later.conf', echo('three'));
	await serves(d, 3);
	const reply = await s.request(d, { path: '/v1/models' });
	assert.deepEqual(reply.json.data.map((m) => m.id), ['three']);
	// The file that is not included any more.
	write('more.conf', echo('four'));
	rmSync(join(d.dir, 'more.conf'));
	await wait(limit(1500));
	assert.equal(generations(d), 3);
});

scenario('by default nothing is looked at, and what a reload says holds from then on', async (s) => {
	const d = await s.daemon({ providers: provider('echo') });
	d.writeConfig(config());
	await wait(limit(2000));
	assert.equal(generations(d), 1);
	d.signal('SIGHUP');
	await serves(d, 2);
	d.writeConfig({ reload: 'signal', providers: provider('echo', 'b') });
	await serves(d, 3);
	d.writeConfig({ reload: 'signal', providers: provider('echo', 'c') });
	await wait(limit(2000));
	assert.equal(generations(d), 3);
});
