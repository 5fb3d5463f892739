// generator: the load that other tests rely on (bench/load) must find out what is wrong with a reply, and must not with one that is right.

import assert from 'node:assert/strict';
import { scenario } from '../lib/scenario.mjs';
import { Generator } from '../lib/generator.mjs';
import { LAST_CHUNK, chunk } from '../lib/wire.mjs';

const event = (json) => `data: ${JSON.stringify(json)}\n\n`;
const said = (content) => event({ choices: [{ index: 0, delta: { content }, finish_reason: null }] });
const STOP = event({ choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] });
const usage = (n) => ({ prompt_tokens: 2, completion_tokens: n, total_tokens: 2 + n });
const USAGE = event({ choices: [], usage: usage(2) });
const DONE = 'data: [DONE]\n\n';

const head = (fields, status = '200 OK') => `HTTP/1.1 ${status}\r\n${fields}\r\n\r\n`;
const streamed = (...events) =>
	[head('content-type: text/event-stream\r\ntransfer-encoding: chunked'), ...events.map((e) => chunk(e)), LAST_CHUNK].map(String).join('');
const whole = (content, more = {}, status) => {
	const body = JSON.stringify({ choices: [{ index: 0, message: { role: 'assistant', content }, finish_reason: 'stop' }], usage: usage(2), ...more });
	return head(`content-type: application/json\r\ncontent-length: ${body.length}`, status) + body;
};
// The first request of a load has the number 1, and here two words: "1.0 1.1".
const right = [said(''), said('1.0'), said(' 1.1'), STOP, USAGE, DONE];
const without = (i) => right.filter((_, at) => at !== i);
const STREAM = streamed(...right);
const WHOLE = whole('1.0 1.1');

// What becomes of a load of one request that is answered so. `end`: what the peer does then to the connection.
async function tried(s, stream, reply, end, more = {}) {
	const peer = await s.peer();
	const load = s.keep(new Generator(peer, { rate: 1, seconds: 1, streams: stream ? 100 : 0, keep: 100, words: 2, models: ['m'], patience: 2, ...more }));
	const { conn } = await peer.request();
	await conn.send(reply);
	if (end)
		conn[end]();
	await load.ended;
	assert.ok(load.total, load.report());
	assert.equal(load.total.started, 1);
	const [failure] = load.failures;
	return failure ? failure.failure : load.total.refused ? 'refused' : 'right';
}

scenario('a load knows a right reply from a wrong one, and says what is wrong', async (s) => {
	const cases = [
		['right', true, STREAM],
		['right', true, STREAM.replace(/data: \[DONE\]/, ': beats\n\n$&').replace(/^e\r\n/m, '17\r\n')],
		['right', false, WHOLE],
		['right', false, head('content-type: application/json\r\ntransfer-encoding: chunked') + chunk(WHOLE.split('\r\n\r\n')[1]) + LAST_CHUNK],
		['reset', true, '', 'end'],
		['reset', false, '', 'reset'],
		['cut', true, STREAM.slice(0, -5), 'end'],
		['cut', true, STREAM.slice(0, -300), 'end'],
		['cut', false, WHOLE.slice(0, -1), 'end'],
		['cut', true, streamed(...right.slice(0, 3), event({ error: { message: 'no more' } }))],
		['stuck', true, STREAM.slice(0, -5)],
		['stuck', false, WHOLE.slice(0, -1)],
		['cut', true, streamed(...without(4))], // no usage
		['cut', true, streamed(...without(5))], // no [DONE]
		['cut', true, streamed(...without(3))], // no reason for its end
		['bytes', true, streamed(...without(1))], // a word is missing
		['bytes', true, streamed(...without(2))],
		['bytes', true, streamed(said('1.0'), ...right.slice(1))], // one comes twice
		['bytes', true, streamed(said('2.0'), ...right.slice(2))], // one is another's
		['bytes', true, streamed(said('1.0 1.1'), ...right.slice(3))], // two in one event
		['bytes', true, streamed(...right, said(' 1.2'))],
		['bytes', true, streamed(...right.slice(0, 4), event({ choices: [], usage: usage(3) }), DONE)],
		['bytes', true, STREAM.replace('\r\n\r\n', '\r\n\r\nxyz\r\n')],
		['bytes', true, STREAM.replace('data: ', 'dada: ')],
		['bytes', false, whole('1.0 1.2')],
		['bytes', false, whole('1.0 1.1', { usage: usage(1) })],
		['cut', false, whole('1.0 1.1', { usage: undefined })],
		['status', false, whole('1.0 1.1', {}, '500 Internal Server Error')],
		['status', true, whole('1.0 1.1', {}, '429 Too Many Requests')],
		['refused', true, whole('1.0 1.1', {}, '429 Too Many Requests'), undefined, { limited: true }],
	];
	const found = await Promise.all(cases.map(([, ...rest]) => tried(s, ...rest)));
	assert.deepEqual(found.map((what, i) => [what, ...cases[i].slice(1)]), cases);
});

scenario('a load uses a connection again, and fails where it is closed under it', async (s) => {
	const peer = await s.peer();
	const load = s.keep(new Generator(peer, { rate: 5, seconds: 1, streams: 0, keep: 100, words: 2, models: ['m'] }));
	const { conn } = await peer.request();
	await conn.send(WHOLE);
	await conn.readRequest();
	conn.reset();
	const next = await peer.request();
	assert.notEqual(next.conn, conn);
	await next.conn.send(whole('3.0 3.1', {}, '200 OK').replace('\r\n', '\r\nconnection: close\r\n'));
	for (const n of [4, 5])
		await (await peer.request()).conn.send(whole(`${n}.0 ${n}.1`).replace('\r\n', '\r\nconnection: close\r\n'));
	await load.ended;
	assert.deepEqual(load.failures.map((f) => [f.failure, f.reused]), [['reused', true]]);
	const { started, answered, connections, reused, closing } = load.total;
	assert.deepEqual({ started, answered, connections, reused, closing }, { started: 5, answered: 4, connections: 4, reused: 1, closing: 3 });
});

scenario('a load to a port where nobody listens fails', async (s) => {
	const peer = await s.peer();
	peer.close();
	const load = s.keep(new Generator(peer, { rate: 5, seconds: 1, models: ['m'] }));
	assert.equal(await load.ended, 1);
	assert.equal(load.total.failures.connect, 5);
});
