// aimock: a provider that is not quite like any real one, in each dialect: what it does otherwise is survived.
//
// It ends Gemini's calls with a reason of its own and gives no ids there, numbers no usage at Anthropic's, and at Cohere's
// says thoughts as text and invents a plan; its errors are OpenAI's wherever it speaks another dialect.

import assert from 'node:assert/strict';
import { PROVIDERS, providersAt } from '../lib/dialects.mjs';
import { scenario } from '../lib/scenario.mjs';
import { aimock, failure } from './sdk.mjs';
import { PROTOCOLS, results, says, talk } from './talk.mjs';

const ARGS = '{"city":"Oslo"}';
const TOOL = { name: 'weather', description: 'Weather now', schema: { type: 'object', properties: { city: { type: 'string' } } } };

async function mock(s) {
	const { LLMock } = aimock();
	const at = new LLMock({ port: 0, logLevel: 'silent' });
	at.onToolResult('call_mock', { content: 'Cold in Oslo.' });
	at.onMessage('weather', { toolCalls: [{ id: 'call_mock', name: 'weather', arguments: ARGS }] });
	at.onMessage('think', { content: 'A thought-out answer.', reasoning: 'Let me see.' });
	at.onMessage('fail', { error: { message: 'slow down', type: 'rate_limit_error' }, status: 429 });
	at.onMessage('hello', { content: 'Hi there! ☃ How are you today?' });
	at.onEmbedding('hello', { embedding: [0.1, -0.25, 1.5] });
	await at.start();
	s.keep({ stop: () => at.stop() });
	return at;
}

for (const protocol of ['chat', 'messages'])
	for (const [sdk, SDK] of PROTOCOLS[protocol].slice(0, 1))
		for (const provider of PROVIDERS)
			scenario(`${sdk}: aimock as ${provider}`, async (s) => {
				const at = await mock(s);
				const daemon = await s.daemon({ providers: providersAt(at) });
				const talker = talk(protocol, SDK, daemon);
				for (const stream of [false, true]) {
					const hello = await talker.ask(provider, { turns: [says('hello')] }, { stream });
					assert.equal(hello.text, 'Hi there! ☃ How are you today?');
					assert.equal(hello.stop, protocol === 'chat' ? 'stop' : 'end_turn');

					const ask = { turns: [says('weather')], tools: [TOOL] };
					const called = await talker.ask(provider, ask, { stream });
					assert.deepEqual(called.calls.map((c) => [c.name, JSON.parse(c.args)]), [['weather', JSON.parse(ARGS)]]);
					assert.equal(called.stop, protocol === 'chat' ? 'tool_calls' : 'tool_use');
					const [{ id }] = called.calls;
					const after = await talker.ask(provider, { ...ask, turns: [...ask.turns, { own: called.own }, results({ id, text: '-3 C' })] }, { stream });
					assert.ok(after.text === 'Cold in Oslo.' || after.calls.length > 0, 'it answers the result, or calls again where it knows no ids');

					const thought = await talker.ask(provider, { turns: [says('think')] }, { stream });
					assert.match(thought.text, /A thought-out answer\.$/);

					const error = await failure(talker.ask(provider, { turns: [says('fail')] }, { stream }));
					assert.ok(error instanceof SDK.RateLimitError, `${error}`);
					assert.match(error.message, /slow down/);
				}
				await daemon.waitAccess((line) => line.status === 429);
			});

scenario('aimock\'s embeddings', async (s) => {
	const at = await mock(s);
	const daemon = await s.daemon({ providers: providersAt(at) });
	const [[, OpenAI]] = PROTOCOLS.chat;
	const ai = new OpenAI({ baseURL: `${daemon.url}/v1`, apiKey: 'sk-client', maxRetries: 0 });
	const ask = { input: 'hello', encoding_format: 'float' };
	for (const model of ['openai', 'cohere', 'ollama']) // Ollama's as its old endpoint answered
		assert.deepEqual((await ai.embeddings.create({ ...ask, model })).data.map((d) => d.embedding), [[0.1, -0.25, 1.5]], model);
	assert.equal((await failure(ai.embeddings.create({ ...ask, model: 'gemini' }))).status, 404, 'it has no batches');
});
