// audio: the official OpenAI SDK's uploads and binary replies through the daemon: transcriptions, translations, speech,
// images from files; and what is plain JSON beside them: embeddings, completions, moderations.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { parseForm, partOf } from '../lib/form.mjs';
import { scenario } from '../lib/scenario.mjs';
import { chunk, LAST_CHUNK, message } from '../lib/wire.mjs';
import { certificates } from '../lib/peer.mjs';
import { OPENAI, collect, failure, sendStream } from './sdk.mjs';

const TARGET = 'openai/whisper-large-v3 turbo';
const USAGE = { type: 'tokens', input_tokens: 14, input_token_details: { text_tokens: 0, audio_tokens: 14 }, output_tokens: 45, total_tokens: 59 };
const VERBOSE = {
	task: 'transcribe', language: 'english', duration: 8.47, text: 'hello',
	segments: [{ id: 0, seek: 0, start: 0, end: 8.47, text: 'hello', tokens: [1], temperature: 0, avg_logprob: -0.2, compression_ratio: 1.2, no_speech_prob: 0.1 }],
	usage: { type: 'duration', seconds: 9 },
};
const TRANSCRIPT = [
	{ type: 'transcript.text.delta', delta: 'hel', logprobs: [] },
	{ type: 'transcript.text.delta', delta: 'lo' },
	{ type: 'transcript.text.done', text: 'hello', usage: USAGE },
	'[DONE]',
];

// A daemon before an HTTPS provider of ours, where `m` is another name.
async function setUp(s, OpenAI) {
	const provider = await s.peer({ tls: true, name: 'provider' });
	const daemon = await s.daemon({ providers: { p: { dialect: 'openai', base_url: `${provider.url}/v1`, api_key: 'sk-provider',
		models: ['other'], model_map: [{ from: 'm', to: TARGET }], tls: { ca_file: certificates().caFile } } },
	routes: [{ model: '*', provider: 'p' }] });
	return { provider, daemon, ai: new OpenAI({ baseURL: `${daemon.url}/v1`, apiKey: 'sk-client', maxRetries: 0 }) };
}

// The provider's last request: on that path, with the model mapped and these parts. `sdk`: of version 6, whose parts come
// in the caller's order; version 4 writes files behind all else.
function assertForm(sdk, provider, path, names, sounds) {
	const request = provider.requests.at(-1);
	assert.equal(request.startLine, `POST /v1${path} HTTP/1.1`);
	assert.equal(request.header('authorization'), 'Bearer sk-provider');
	const parts = parseForm(request);
	const got = parts.map((p) => p.name);
	assert.deepEqual(sdk.startsWith('openai 4') ? got.sort() : got, sdk.startsWith('openai 4') ? names.sort() : names);
	assert.equal(partOf(request, 'model'), TARGET);
	const files = parts.filter((p) => p.filename !== undefined);
	assert.equal(files.length, sounds.length);
	files.forEach((f, i) => assert.ok(f.data.equals(sounds[i]), `the bytes of ${f.filename}`));
	return request;
}

for (const [sdk, OpenAI] of OPENAI) {
	const { toFile } = OpenAI;
	const wav = (data, name = 'speech.wav') => toFile(data, name, { type: 'audio/wav' });

	scenario(`${sdk}: transcriptions, the file before and after the model, small and large`, async (s) => {
		const { provider, daemon, ai } = await setUp(s, OpenAI);
		provider.serve(() => ({ body: { text: 'hello', usage: USAGE } }));
		for (const size of [5000, 3 << 20]) {
			const sound = randomBytes(size);
			for (const fields of [{ file: await wav(sound), model: 'm', language: 'en' }, { model: 'm', language: 'en', file: await wav(sound) }]) {
				const { data, response } = await ai.audio.transcriptions.create(fields).withResponse();
				assert.equal(data.text, 'hello');
				assert.deepEqual(data.usage, USAGE);
				assert.equal(response.headers.get('x-api-router-model'), TARGET);
				assertForm(sdk, provider, '/audio/transcriptions', Object.keys(fields), [sound]);
				const line = await daemon.waitAccess(response.headers.get('x-request-id'));
				assert.deepEqual([line.model, line.target_model, line.input_tokens, line.output_tokens], ['m', TARGET, 14, 45]);
			}
		}
	});

	scenario(`${sdk}: transcriptions as text, verbose JSON and a stream`, async (s) => {
		const { provider, daemon, ai } = await setUp(s, OpenAI);
		const sound = randomBytes(3000);
		const ask = async (more) => ai.audio.transcriptions.create({ file: await wav(sound), model: 'm', ...more });
		provider.serve(() => ({ headers: { 'Content-Type': 'text/plain; charset=utf-8' }, body: 'hello\n' }));
		assert.equal(await ask({ response_format: 'text' }), 'hello\n');
		assertForm(sdk, provider, '/audio/transcriptions', ['file', 'model', 'response_format'], [sound]);
		provider.serve(() => ({ body: VERBOSE }));
		assert.deepEqual({ ...await ask({ response_format: 'verbose_json', timestamp_granularities: ['word', 'segment'] }) }, VERBOSE);
		assert.deepEqual(parseForm(provider.requests.at(-1)).filter((p) => !['file', 'model'].includes(p.name)).map((p) => p.data.toString()),
			['verbose_json', 'word', 'segment']);
		provider.serve((request, conn) => sendStream(conn, TRANSCRIPT, 17));
		const events = await collect(await ask({ stream: true }));
		assert.deepEqual(events, TRANSCRIPT.slice(0, 3));
		const line = await daemon.waitAccess((l) => l.stream);
		assert.deepEqual([line.input_tokens, line.output_tokens, line.end], [14, 45, 'complete']);
	});

	scenario(`${sdk}: translations, and errors of the provider and the router`, async (s) => {
		const { provider, ai } = await setUp(s, OpenAI);
		const sound = randomBytes(3000);
		const ask = async (model = 'm') => ai.audio.translations.create({ file: await wav(sound, 'gr\u00fc\u00dfe.wav'), model, prompt: 'x' });
		provider.serve(() => ({ body: { text: 'hello' } }));
		assert.equal((await ask()).text, 'hello');
		assert.equal(provider.requests[0].startLine, 'POST /v1/audio/translations HTTP/1.1');
		assert.ok(provider.requests[0].body.includes(sound));
		provider.serve(() => ({ status: 400, body: { error: { message: 'too short', type: 'invalid_request_error', param: 'file', code: 'audio_too_short' } } }));
		const error = await failure(ask());
		assert.ok(error instanceof OpenAI.BadRequestError);
		assert.deepEqual([error.param, error.code], ['file', 'audio_too_short']);
		const before = provider.requests.length;
		const control = await failure(ask('a\nb'));
		assert.ok(control instanceof OpenAI.BadRequestError, `${control}`);
		assert.match(control.message, /control characters/);
		assert.equal(provider.requests.length, before);
	});

	scenario(`${sdk}: speech, whole and as it comes`, async (s) => {
		const { provider, ai } = await setUp(s, OpenAI);
		const sound = randomBytes(1 << 20);
		let more;
		for (const framing of ['length', 'chunked']) {
			provider.serve(async (request, conn) => {
				assert.deepEqual(request.json, { model: TARGET, input: 'hello', voice: 'alloy', response_format: 'opus' });
				const send = (data) => conn.send(framing === 'chunked' ? chunk(data) : data);
				await conn.send(message('HTTP/1.1 200 OK', { 'Content-Type': 'audio/opus',
					...(framing === 'chunked' ? { 'Transfer-Encoding': 'chunked' } : { 'Content-Length': sound.length }) }));
				await send(sound.subarray(0, 1000));
				await more;
				await send(sound.subarray(1000));
				return framing === 'chunked' ? LAST_CHUNK : undefined;
			});
			const ask = () => ai.audio.speech.create({ model: 'm', input: 'hello', voice: 'alloy', response_format: 'opus' });
			more = undefined;
			assert.ok(Buffer.from(await (await ask()).arrayBuffer()).equals(sound), framing);
			let go;
			more = new Promise((resolve) => (go = resolve));
			const response = await ask();
			assert.equal(response.headers.get('content-type'), 'audio/opus');
			const parts = [];
			for await (const part of response.body) {
				parts.push(part);
				go(); // the first bytes were here before the rest was sent
			}
			assert.ok(Buffer.concat(parts).equals(sound), framing);
		}
	});

	scenario(`${sdk}: images from files`, async (s) => {
		const { provider, ai } = await setUp(s, OpenAI);
		const answer = { created: 1790000000, data: [{ b64_json: randomBytes(300000).toString('base64') }] };
		provider.serve(() => ({ body: answer }));
		const images = [randomBytes(4000), randomBytes(2 << 20)];
		const png = (data, name) => toFile(data, name, { type: 'image/png' });
		const files = () => Promise.all(images.map((data, i) => png(data, `${i}.png`)));
		assert.deepEqual((await ai.images.edit({ model: 'm', prompt: 'a hat', image: await files(), n: 1 })).data, answer.data);
		assertForm(sdk, provider, '/images/edits', ['model', 'prompt', 'image[]', 'image[]', 'n'], images);
		assert.deepEqual((await ai.images.edit({ image: (await files())[0], mask: (await files())[1], prompt: 'a hat', model: 'm' })).data, answer.data);
		assertForm(sdk, provider, '/images/edits', ['image', 'mask', 'prompt', 'model'], images);
		assert.deepEqual((await ai.images.createVariation({ image: (await files())[1], model: 'm' })).data, answer.data);
		assertForm(sdk, provider, '/images/variations', ['image', 'model'], [images[1]]);
	});

	scenario(`${sdk}: embeddings in base64 and as floats`, async (s) => {
		const { provider, ai } = await setUp(s, OpenAI);
		const vector = [0.25, -1.5, 3];
		const base64 = Buffer.from(new Float32Array(vector).buffer).toString('base64');
		provider.serve((request) => ({ body: { object: 'list', model: TARGET, usage: { prompt_tokens: 3, total_tokens: 3 },
			data: [{ object: 'embedding', index: 0, embedding: request.json.encoding_format === 'base64' ? base64 : vector }] } }));
		assert.deepEqual([...(await ai.embeddings.create({ model: 'm', input: 'x' })).data[0].embedding], vector);
		assert.deepEqual(provider.requests[0].json, { model: TARGET, input: 'x', encoding_format: 'base64' });
		assert.deepEqual((await ai.embeddings.create({ model: 'm', input: 'x', encoding_format: 'float' })).data[0].embedding, vector);
		assert.equal((await ai.embeddings.create({ model: 'm', input: 'x', encoding_format: 'base64' })).data[0].embedding, base64);
	});

	scenario(`${sdk}: completions, plain and streamed, and moderations`, async (s) => {
		const { provider, daemon, ai } = await setUp(s, OpenAI);
		const usage = { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 };
		const piece = (text, finish_reason, more = {}) => ({ id: 'cmpl-1', object: 'text_completion', created: 1790000000, model: TARGET,
			choices: [{ index: 0, text, logprobs: null, finish_reason }], ...more });
		provider.serve(() => ({ body: piece(' world', 'length', { usage }) }));
		const plain = await ai.completions.create({ model: 'm', prompt: 'hello' });
		assert.deepEqual({ ...plain }, piece(' world', 'length', { usage }));
		assert.deepEqual(provider.requests[0].json, { model: TARGET, prompt: 'hello' });
		const pieces = [piece(' wor', null), piece('ld', null), piece('', 'stop', { usage })];
		provider.serve((request, conn) => sendStream(conn, [...pieces, '[DONE]'], 13));
		assert.deepEqual(await collect(await ai.completions.create({ model: 'm', prompt: 'hello', stream: true })), pieces);
		const line = await daemon.waitAccess((l) => l.stream);
		assert.deepEqual([line.path, line.input_tokens, line.output_tokens], ['/v1/completions', 1, 2]);
		const verdict = { id: 'modr-1', model: TARGET, results: [{ flagged: false, categories: { 'self-harm/intent': false }, category_scores: { 'self-harm/intent': 1e-7 } }] };
		provider.serve(() => ({ body: verdict }));
		assert.deepEqual({ ...await ai.moderations.create({ model: 'm', input: ['x'] }) }, verdict);
		assert.deepEqual(provider.requests.at(-1).json, { model: TARGET, input: ['x'] });
	});
}
