// random: for each client's protocol at each provider's, answers that no one thought of, told in ways that no one would
// choose: what the SDK makes of the stream, and of the whole reply, is what the provider said; and a stream that is cut
// is never taken for a whole one that it is not.
//
//     RANDOM_STREAMS=10000          answers for each pair; 60
//     RANDOM_SEED=text              other answers than the usual ones
//     RANDOM_ONLY='messages cohere 17'   that pair, from that answer on
//
// The last test runs a daemon whose reader of calls in pieces neither waits nor holds back (build/.../no-hold), and has
// to see it fail.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import http from 'node:http';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { binary } from '../lib/daemon.mjs';
import { PROVIDERS, endpointOf, providersAt, wantsStream } from '../lib/dialects.mjs';
import { Random, expected, madeUp, randomAnswer } from '../lib/random-answers.mjs';
import { scenario } from '../lib/scenario.mjs';
import { rules } from '../lib/stream-rules.mjs';
import { tell } from '../lib/untidy.mjs';
import { show } from '../lib/wire.mjs';
import { ANTHROPIC, OPENAI } from './sdk.mjs';

const STREAMS = Number(process.env.RANDOM_STREAMS ?? 60);
const SEED = process.env.RANDOM_SEED ?? '1';
const [ONLY_CLIENT, ONLY_PROVIDER, ONLY_FROM] = (process.env.RANDOM_ONLY ?? '').split(' ');
const AT_ONCE = 32;
const STREAMS_TO_SEE = 500; // without the hold list, within as many something is lost
const [[, OpenAI]] = OPENAI, [[, Anthropic]] = ANTHROPIC;

// ---- the provider: sends what stands under the key in the prompt

// A reply to be sent, cut behind `cut` bytes of its body: { bytes, close, writes }.
function framed(r, type, body, { cut, inOne }) {
	const framing = r.pick(['chunked', 'chunked', 'chunked', 'length', 'close']);
	const sent = cut === undefined ? body : body.subarray(0, cut);
	const ended = cut === undefined || (framing === 'chunked' && r.chance(50));
	const some = r.pick([body.length, 1, 7, 40, 1000]);
	const size = inOne ? body.length : body.length > 4000 ? Math.max(some, 400) : some;
	const [field, data] = framing === 'length' ? [`Content-Length: ${body.length}`, sent] : framing === 'close' ? ['Connection: close', sent]
		: ['Transfer-Encoding: chunked', Buffer.concat([chunked(sent, size), Buffer.from(ended ? '0\r\n\r\n' : '')])];
	const head = Buffer.from(`HTTP/1.1 200 OK\r\nContent-Type: ${type}\r\n${field}\r\n\r\n`);
	return { bytes: Buffer.concat([head, data]), close: !ended || framing === 'close', writes: r.pick([1, 1, 3, 10]) };
}
function chunked(bytes, size) {
	const all = Buffer.allocUnsafe(bytes.length + Math.ceil(bytes.length / size) * 12);
	let end = 0;
	for (let at = 0; at < bytes.length; at += size) {
		const len = Math.min(size, bytes.length - at);
		end += all.latin1Write(`${len.toString(16)}\r\n`, end);
		end += bytes.copy(all, end, at, at + len);
		end += all.latin1Write('\r\n', end);
	}
	return all.subarray(0, end);
}
function split(bytes, size) {
	const all = [];
	for (let at = 0; at < bytes.length; at += size)
		all.push(bytes.subarray(at, at + size));
	return all;
}
async function send(conn, { bytes, close, writes }) {
	for (const piece of split(bytes, Math.ceil(bytes.length / writes))) {
		await conn.send(piece);
		if (writes > 1)
			await new Promise((done) => setImmediate(done));
	}
	if (close)
		conn.cut();
}

// ---- the client: an SDK whose bytes are kept

class Client {
	constructor(kind, url) {
		this.kind = kind;
		this.agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
		const options = { apiKey: 'sk-client', maxRetries: 0, logLevel: 'off', fetch: (to, init) => this.fetch(to, init) };
		this.sdk = kind === 'messages' ? new Anthropic({ ...options, baseURL: url }) : new OpenAI({ ...options, baseURL: `${url}/v1` });
	}
	// What the SDKs take of fetch, over a connection that is kept (fetch itself takes longer than all else here).
	async fetch(to, { method, headers, body }) {
		if (this.replayed)
			return response(200, { 'content-type': 'text/event-stream' }, this.replayed);
		const reply = await new Promise((done, failed) => {
			const request = http.request(to, { method, headers: Object.fromEntries(headers), agent: this.agent }, done);
			request.on('error', failed);
			request.end(body);
		});
		const kept = this.kept = [];
		return response(reply.statusCode, reply.headers, (async function* () {
			for await (const piece of reply) {
				kept.push(piece);
				yield piece;
			}
		})());
	}
	get bytes() {
		return Buffer.concat(this.kept ?? []);
	}
	body(model, more) {
		const asked = this.kind === 'completions' ? { prompt: this.key } : { messages: [{ role: 'user', content: this.key }] };
		return { model, max_tokens: 100, ...asked, ...more };
	}
	ask(model, usage) {
		return this[this.kind](this.body(model, {}), usage);
	}
	whole(model) {
		const { sdk, kind } = this, body = this.body(model, {});
		if (kind === 'messages')
			return sdk.messages.create(body).then(ofMessage);
		return kind === 'chat' ? sdk.chat.completions.create(body).then(ofCompletion)
			: sdk.completions.create(body).then((c) => ({ ...ofText(c.choices[0].text, c.choices[0].finish_reason), usage: openaiUsage(c.usage) }));
	}
	async messages(body) {
		const message = ofMessage(await this.sdk.messages.stream(body).finalMessage());
		message.raw = rawArguments(this.bytes);
		return message;
	}
	async completions(body, usage) {
		const made = ofText('', null);
		for await (const chunk of await this.sdk.completions.create({ ...body, stream: true, stream_options: usage ? { include_usage: true } : undefined })) {
			made.text += chunk.choices[0]?.text ?? '';
			made.stop = chunk.choices[0]?.finish_reason ?? made.stop;
			made.usage = chunk.usage ? openaiUsage(chunk.usage) : made.usage;
		}
		return made;
	}
	// The loop, as anyone writes it.
	async chat(body, usage) {
		const made = ofText('', null);
		for await (const chunk of await this.sdk.chat.completions.create({ ...body, stream: true, stream_options: usage ? { include_usage: true } : undefined })) {
			const { delta = {}, finish_reason: stop } = chunk.choices[0] ?? {};
			made.text += delta.content ?? '';
			made.reasoning += delta.reasoning_content ?? '';
			made.refusal += delta.refusal ?? '';
			for (const call of delta.tool_calls ?? []) {
				made.calls[call.index] ??= { id: call.id, name: call.function.name, args: '' };
				made.calls[call.index].args += call.function.arguments;
			}
			made.stop = stop ?? made.stop;
			made.usage = chunk.usage ? openaiUsage(chunk.usage) : made.usage;
		}
		return made;
	}
	// The same bytes again, through the helper.
	async helper(r, model) {
		const bytes = this.bytes;
		this.replayed = Readable.from(split(bytes, bytes.length < 5000 ? r.pick([3, 50, 5000]) : 1000));
		try {
			return ofCompletion(await this.sdk.chat.completions.stream(this.body(model, {})).finalChatCompletion());
		} finally {
			this.replayed = undefined;
		}
	}
}
function response(status, headers, body) {
	const text = async () => {
		const all = [];
		for await (const piece of body)
			all.push(piece);
		return Buffer.concat(all).toString();
	};
	return { status, ok: status === 200, statusText: '', url: '', headers: new Headers(headers), body, text, json: async () => JSON.parse(await text()) };
}
const openaiUsage = (u) => ({ input: u.prompt_tokens, output: u.completion_tokens, all: u });
const ofText = (text, stop) => ({ text, reasoning: '', refusal: '', calls: [], stop });
function ofCompletion({ choices: [{ message, finish_reason }], usage }) {
	return { text: message.content ?? '', reasoning: message.reasoning_content ?? '', refusal: message.refusal ?? '',
		calls: (message.tool_calls ?? []).map((c) => ({ id: c.id, name: c.function.name, args: c.function.arguments })),
		stop: finish_reason, usage: usage && openaiUsage(usage) };
}
function ofMessage(message) {
	const all = (kind) => message.content.map((b) => (b.type === kind ? b[kind] : '')).join('');
	const u = message.usage;
	return { text: all('text'), reasoning: all('thinking'), refusal: '', stop: message.stop_reason,
		calls: message.content.filter((b) => b.type === 'tool_use').map((b) => ({ id: b.id, name: b.name, input: b.input })),
		blocks: message.content.map((b) => [b.type, b.text ?? b.thinking ?? '', b.signature ?? '']),
		usage: { input: u.input_tokens + u.cache_creation_input_tokens + u.cache_read_input_tokens, output: u.output_tokens,
			all: { ...u, service_tier: undefined } } };
}
// The arguments' text of each call of a messages stream: the SDK only shows what it stands for.
function rawArguments(bytes) {
	const texts = [];
	for (const line of bytes.toString().split('\n').filter((l) => l.startsWith('data: {'))) {
		const { content_block: block, delta } = JSON.parse(line.slice(6));
		if (block?.type === 'tool_use')
			texts.push('');
		if (delta?.type === 'input_json_delta')
			texts[texts.length - 1] += delta.partial_json;
	}
	return texts;
}

// ---- one answer

function compare(got, wanted, { anyOrder, usage }, what) {
	const bare = (args) => args.trim().replace(/^\{\s*\}$/, '{}') || '{}';
	const order = (calls) => (anyOrder ? [...calls].sort((a, b) => (key(a) < key(b) ? -1 : 1)) : calls);
	const key = (c) => JSON.stringify([c.name, c.input ?? bare(c.args)]);
	const plain = (c) => ({ name: c.name, ...(c.input === undefined ? { args: bare(c.args) } : { input: c.input }) });
	const wantedCalls = order(got.blocks ? wanted.calls.map((c) => ({ ...c, input: JSON.parse(c.args) })) : wanted.calls);
	const calls = order(got.calls);
	for (const field of ['text', 'reasoning', 'refusal', 'stop'])
		assert.equal(got[field], wanted[field], `${what}: ${field}`);
	assert.deepEqual(calls.map(plain), wantedCalls.map(plain), `${what}: calls`);
	const ids = (list) => list.map((c) => c.id).sort();
	if (wanted.calls.every((c) => c.id !== null))
		assert.deepEqual(ids(calls), ids(wantedCalls), `${what}: ids`);
	else
		calls.forEach((c) => assert.match(c.id, madeUp(got.blocks ? 'messages' : 'chat')));
	if (got.raw && !anyOrder)
		assert.deepEqual(got.raw.map(bare), wanted.calls.map((c) => bare(c.args)), `${what}: the bytes of arguments`);
	if (usage)
		assert.deepEqual({ input: got.usage.input, output: got.usage.output }, wanted.usage, `${what}: usage`);
}

async function tryOne(c, provider, answers, place) {
	const r = new Random(`${SEED} ${place}`);
	const key = `<${place}>`;
	const generate = c.kind === 'completions' && provider === 'ollama';
	const told = tell(r, provider, randomAnswer(r), generate);
	const wanted = expected(c.kind, told);
	const usage = c.kind !== 'messages' && r.chance(50);
	const stream = Buffer.from(told.stream.join('')), reply = Buffer.from((r.chance(5) ? '\n\n' : '') + told.reply);
	const swapped = r.chance(4); // it answers the other way than it is asked
	const streamed = { type: told.type, bytes: stream }, whole = { type: 'application/json', bytes: reply };
	const answer = (asStream, cut) => {
		const { type, bytes } = asStream !== swapped ? streamed : whole;
		return framed(r, type, bytes, { cut: cut && Math.floor(cut * bytes.length), inOne: !asStream });
	};
	const at = (what) => `${what} at ${provider}`;
	let step = 'the stream';
	c.key = key;
	try {
		answers.set(key, { stream: answer(true), reply: answer(false) });
		const got = await c.ask(provider, usage);
		compare(got, wanted, { anyOrder: told.anyOrder, usage: usage || c.kind === 'messages' }, at('the stream'));
		assert.equal(rules[c.kind](c.bytes, usage).whole, true);
		if (c.kind === 'chat') {
			step = 'the helper';
			compare({ ...await c.helper(r, provider), reasoning: wanted.reasoning }, wanted, { anyOrder: told.anyOrder }, at('the helper'));
		}
		step = 'the whole reply';
		const also = await c.whole(provider);
		compare(also, wanted, { usage: true, anyOrder: told.anyOrder && swapped }, at('the whole reply'));
		if (got.usage)
			assert.deepEqual(got.usage, also.usage, 'usage of the stream and of the whole reply');
		if (provider === 'gemini' && got.blocks)
			assert.deepEqual(got.blocks, also.blocks, 'blocks of the stream and of the whole reply');
		if (!told.late) {
			step = 'the stream that was cut';
			answers.set(key, { stream: answer(true, (1 + r.below(998)) / 1000) });
			await tryCut(c, provider, wanted, told, usage);
		}
	} catch (error) {
		error.message += `\n    RANDOM_SEED='${SEED}' RANDOM_ONLY='${place}'; ${step}\n--- the provider's stream\n${show(stream)}\n` +
			`--- its whole reply\n${show(reply)}\n--- what the client got\n${show(c.bytes)}\n--- wanted\n${show(JSON.stringify(wanted))}`;
		throw error;
	} finally {
		answers.delete(key);
	}
}
// It fails, or it is all there.
async function tryCut(c, provider, wanted, told, usage) {
	let got;
	c.kept = undefined;
	try {
		got = await c.ask(provider, usage);
	} catch (error) {
		if (error instanceof assert.AssertionError)
			throw error;
	}
	const isStream = c.bytes.length > 0 && !c.bytes.toString('latin1', 0, 1).startsWith('{');
	const end = isStream ? rules[c.kind](c.bytes, usage) : { whole: false };
	if (got) {
		compare(got, wanted, { anyOrder: told.anyOrder }, `cut at ${provider}, and taken for whole`);
		assert.equal(end.whole, true, 'the SDK was content with what has no end');
	}
}

async function run(s, kind, provider, streams, from = 0, options = {}) {
	const answers = new Map();
	const peer = await s.peer({ name: provider });
	let next = from, failed;
	peer.serve(async (request, conn) => {
		peer.requests.length = 0;
		try {
			const key = request.body.toString().match(/<[a-z ]+\d+>/)[0];
			const [dialect, endpoint] = endpointOf(request.target);
			assert.equal(dialect, provider);
			assert.equal(endpoint, kind === 'completions' && provider === 'ollama' ? 'generate' : 'chat');
			await send(conn, answers.get(key)[wantsStream(dialect, request) ? 'stream' : 'reply']);
		} catch (error) {
			failed ??= error;
			conn.cut();
		}
	});
	const daemon = await s.daemon({ providers: { [provider]: providersAt(peer)[provider] } }, options);
	await Promise.all(Array.from({ length: AT_ONCE }, async () => {
		const c = new Client(kind, daemon.url);
		while (next < from + streams && !failed) {
			const place = `${kind} ${provider} ${next++}`;
			await tryOne(c, provider, answers, place).catch((error) => (failed ??= error));
		}
	}));
	if (failed)
		throw failed;
}

const PAIRS = ['chat', 'completions', 'messages'].flatMap((kind) =>
	PROVIDERS.filter((p) => p !== (kind === 'messages' ? 'anthropic' : 'openai')).map((p) => [kind, p]));
for (const [kind, provider] of PAIRS)
	if (!ONLY_CLIENT || (ONLY_CLIENT === kind && (!ONLY_PROVIDER || ONLY_PROVIDER === provider)))
		scenario(`random answers: ${kind} at ${provider}`, (s) => run(s, kind, provider, ONLY_FROM ? 1 : STREAMS, Number(ONLY_FROM ?? 0)),
			{ ms: 60000 + STREAMS * 100 });

const LOSING = join(dirname(binary), 'no-hold', 'api-router');
for (const [kind, provider] of [['messages', 'openai'], ['messages', 'cohere'], ['chat', 'cohere']])
	if (!ONLY_CLIENT)
		scenario(`a reader of calls that loses some does not get through: ${kind} at ${provider}`, async (s) => {
			const error = await run(s, kind, provider, STREAMS_TO_SEE, 0, { binary: LOSING }).then(() => undefined, (e) => e);
			assert.ok(error, 'nothing was lost, or no one saw it');
			assert.match(error.message, /: (calls|the bytes of arguments)\n/, error.message);
		}, { skip: existsSync(LOSING) ? false : 'there is no such build: make check-sdk' });
