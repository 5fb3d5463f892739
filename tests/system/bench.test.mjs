// bench: what the figures of the bench rest on: its client must find out what is wrong with a reply (bench/client), and its table must
// be what it says it is (bench/table).

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { binary } from '../lib/daemon.mjs';
import { scenario } from '../lib/scenario.mjs';
import { LAST_CHUNK, chunk } from '../lib/wire.mjs';

const run = promisify(execFile);
const bench = join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'bench');
const program = (name) => join(dirname(binary), 'bench', name);

const STAMP = '@0000000000000001';
const head = (fields, status = '200 OK') => `HTTP/1.1 ${status}\r\n${fields}\r\n\r\n`;
const whole = (body, status) => head(`content-length: ${body.length}`, status) + body;
const streamed = (...texts) => [head('transfer-encoding: chunked'), ...texts.map((t) => chunk(t)), LAST_CHUNK].map(String).join('');
const event = `data: {"content":"${STAMP}"}\n\n`, DONE = 'data: [DONE]\n\n', STOP = 'event: message_stop\ndata: {"type":"message_stop"}\n\n';
const BODY = `{"content":"${STAMP}"}`, WHOLE = whole(BODY), STREAM = streamed(event, event, DONE);
const ends = ['-S', '-e', 2];

// What the client tells of one request that is answered so: name=value. `end`: what the peer does then to the connection.
async function tried(s, args, reply, end) {
	const peer = await s.peer();
	const client = run(program('client'), ['-p', peer.port, '-n', 1, '-t', 1, ...args].map(String));
	const { conn } = await peer.request();
	await conn.send(reply);
	if (end)
		conn[end]();
	return Object.fromEntries((await client).stdout.trim().split(' ').map((told) => told.split('=')));
}

scenario("the bench's client knows a right reply from a wrong one", async (s) => {
	const cases = [
		['0', [], WHOLE],
		['0', ['-R', BODY.length], WHOLE],
		['0', ['-d', 'anthropic'], WHOLE],
		['0', ends, STREAM],
		['0', ends, streamed(event.slice(0, 30), event.slice(30) + event.slice(0, 20), event.slice(20), DONE)],
		['0', [...ends, '-d', 'anthropic'], streamed(event, event, STOP)],
		['1', [], whole(BODY, '500 Internal Server Error')],
		['1', ['-R', BODY.length + 1], WHOLE],
		['1', [], WHOLE.slice(0, -1), 'end'],
		['1', [], WHOLE.slice(0, -1)],
		['1', [], '', 'end'],
		['1', [], whole('{"content":""}')],
		['1', [], whole(`{"content":"${STAMP}"`)],
		['1', ends, streamed(event, DONE)],
		['1', ends, streamed(event, event, event, DONE)],
		['1', ends, streamed(event, event)],
		['1', ends, streamed(event, event, STOP)],
		['1', [...ends, '-d', 'anthropic'], STREAM],
		['1', ends, STREAM.slice(0, -5), 'end'],
		['1', ends, STREAM.slice(0, -5)],
	];
	const found = await Promise.all(cases.map(([, ...rest]) => tried(s, ...rest)));
	assert.deepEqual(found.map((told, i) => [told.errors, ...cases[i].slice(1)]), cases);
	assert.deepEqual(found.map((told) => Number(told.n) > 0), cases.map(([errors, args]) => errors === '0' || args.includes('-S')));
});

scenario("the bench's table: medians, ratios, verdicts, what was added; runs with errors are marked and not averaged", async (s) => {
	const dir = s.temporaryDirectory();
	const file = (name, text) => {
		writeFileSync(join(dir, name), text);
		return join(dir, name);
	};
	const rows = file('rows', '= Costs\na.cpu\t1\tus\tof a\nb.cpu\t1\tus\tof b\nc.cpu\t1\tus\tof c\na.added50\t0\tus\tadded\na.added99w\t0\tus\tadded at p99\nz.cpu\t0\tus\tof z\n');
	const goals = file('goals', ['a, to nginx\ta.cpu/nginx\t0.5\t1', 'a\ta.cpu\t3\t4', 'a\ta.cpu\t1\t3', 'a\ta.cpu\t1\t2', 'b\tb.cpu\t1\t2',
		'a to c, b to c\ta.cpu//c.cpu,a.cpu//a.cpu\t1\t9', 'z\tz.cpu\t1\t2', 'd\td.cpu/nginx\t1\t2'].join('\n'));
	const figures = file('figures', [
		...[[2, 3, 9], [6, 7, 5]].flatMap((values, who) => values.map((v, i) => ['a.cpu', ['api-router', 'nginx'][who], i + 1, v, 0])),
		['b.cpu', 'api-router', 1, 1, 0], ['b.cpu', 'api-router', 2, 50, 3], ['b.cpu', 'nginx', 0, '-', 1], ['c', 'nginx', 1, 'n/a', 0],
		['c.cpu', 'api-router', 1, 1, 0], ['d.cpu', 'api-router', 1, -1, 0], ['d.cpu', 'nginx', 1, 1, 0],
		// In the first round there were three looks at the direct connection.
		...[90, 500, 100].map((v) => ['a.p50', 'direct', 1, v, 0]), ['a.p50', 'direct', 2, 200, 0],
		...[[1, 130], [2, 250], [2, 230]].map(([round, v]) => ['a.p50', 'api-router', round, v, 0]), ['a.p99w', 'direct', 2, 10, 0], ['a.p99w', 'api-router', 2, 17, 0],
		['a.p50', 'api-router', 2, 9000, 1],
	].map((line) => line.join('\t')).join('\n'));
	const medians = join(dir, 'medians');
	const { stdout } = await run('awk', ['-v', `medians=${medians}`, '-v', 'all=1', '-f', join(bench, 'table'), rows, goals, figures]);
	const lines = stdout.split('\n').map((line) => line.trim().split(/ {2,}/).join(' | ')).filter((line) => line);
	assert.deepEqual(lines, [
		'Costs', 'api-router | nginx | direct | /nginx',
		'of a | us | 3.0 | 6.0 | - | 0.50',
		'of b | us | 1.0! | failed | - | -',
		'of c | us | 1.0 | n/a | - | -',
		'added | us | 30! | - | - | -',
		'added at p99 | us | 7 | - | - | -',
		'Goals', 'goal | must | measured | verdict',
		'a, to nginx | 0.5 | 1 | 0.50 | goal met',
		'a | 3 | 4 | 3.00 | goal met',
		'a | 1 | 3 | 3.00 | must met',
		'a | 1 | 2 | 3.00 | MISSED',
		'b | 1 | 2 | 1.00 | errors',
		'a to c, b to c | 1 | 9 | 3.00 | must met',
		'z | 1 | 2 | - | not measured',
		'd | 1 | 2 | unclear | unclear: nothing added to compare with',
	]);
	assert.match(readFileSync(medians, 'utf8'), /^a\.cpu\tnginx\t6$/m);
});
