// stream-rules: what holds of the bytes of every stream that the router writes, whatever is in it: one check for each
// client's protocol. check(bytes) -> { whole, error }: has it come to its end, or to an error event? It throws where a
// rule is broken. SDKs are too forgiving to see most of them.

import assert from 'node:assert/strict';

// Events, each "event: name" (or not) and "data: JSON", LF alone, a blank line behind each. Comments are dropped.
function eventsOf(bytes, named) {
	const all = bytes.toString('utf8');
	assert.ok(!all.includes('\r'), 'a CR in the stream');
	assert.ok(!all.includes('\ufffd') || Buffer.from(all).equals(bytes), 'the stream is no UTF-8');
	const blocks = all.split('\n').filter((line) => !line.startsWith(':')).join('\n').split('\n\n');
	assert.equal(blocks.pop(), '', 'the stream ends within an event');
	return blocks.map((block) => {
		const match = block.match(named ? /^event: ([a-z_]+)\ndata: ([^\n]*)$/ : /^()data: ([^\n]*)$/);
		assert.ok(match, `no event: ${block}`);
		return { name: match[1], data: match[2] === '[DONE]' && !named ? null : JSON.parse(match[2]), text: match[2] };
	});
}
const isCount = (n) => Number.isSafeInteger(n) && n >= 0;

// The last event may be an error, and then there is no end.
function ending(events, isEnd, isError) {
	const last = events.at(-1);
	events.slice(0, -1).forEach((e) => assert.ok(!isEnd(e) && !isError(e), `an event behind the end, or an error: ${e.text}`));
	return { whole: Boolean(last && isEnd(last)), error: last && isError(last) ? last.data.error : undefined };
}

function chunks(bytes, object, usage, each) {
	const events = eventsOf(bytes, false);
	const end = ending(events, (e) => e.data === null, (e) => Boolean(e.data?.error));
	const all = events.slice(0, end.whole || end.error ? -1 : undefined).map((e) => e.data);
	let finished = false;
	all.forEach((chunk, i) => {
		assert.equal(chunk.object, object);
		for (const field of ['id', 'created', 'model'])
			assert.deepEqual(chunk[field], all[0][field], `${field} changed`);
		assert.match(chunk.id, /./);
		assert.ok(isCount(chunk.created) && chunk.created > 0);
		if (chunk.choices.length === 0) {
			assert.ok(usage && end.whole && i === all.length - 1, 'a chunk without choices');
			assert.equal(chunk.usage.total_tokens, chunk.usage.prompt_tokens + chunk.usage.completion_tokens);
			return;
		}
		assert.equal('usage' in chunk, usage, 'usage: null belongs to streams with usage');
		assert.equal(chunk.usage ?? null, null);
		const [choice, ...more] = chunk.choices;
		assert.ok(more.length === 0 && choice.index === 0);
		assert.ok(!finished, 'a chunk behind the finish reason');
		finished = choice.finish_reason !== null;
		assert.ok(!finished || ['stop', 'length', 'tool_calls', 'content_filter'].includes(choice.finish_reason));
		each(choice, i);
	});
	assert.equal(finished, end.whole, 'the end without a finish reason, or the other way');
	if (end.whole)
		assert.equal(all.at(-1).choices.length === 0, usage, 'usage at the end');
	return end;
}

function chat(bytes, usage) {
	const calls = [];
	let spoke = false;
	const end = chunks(bytes, 'chat.completion.chunk', usage, ({ delta }, i) => {
		assert.equal(delta.role, i === 0 ? 'assistant' : undefined, 'the role is in the first chunk alone');
		for (const kind of ['content', 'reasoning_content', 'refusal']) {
			assert.ok(delta[kind] === undefined || typeof delta[kind] === 'string');
			spoke ||= Boolean(delta[kind]);
		}
		for (const call of delta.tool_calls ?? []) {
			if (call.index === calls.length) {
				assert.ok(call.type === 'function' && /^[A-Za-z0-9_-]+$/.test(call.id) && call.function.name, 'a call begins with id, type and name');
				calls.push('');
			} else {
				assert.equal(call.index, calls.length - 1, 'pieces of a call that is not the last one');
				assert.deepEqual([call.id, call.type, call.function.name], [undefined, undefined, undefined]);
			}
			calls[call.index] += call.function.arguments;
		}
	});
	assert.ok(!end.whole || calls.every((args) => args !== ''), 'a call without arguments');
	return end;
}
const completions = (bytes, usage) =>
	chunks(bytes, 'text_completion', usage, (choice) => assert.equal(typeof choice.text, 'string'));

const DELTAS = { text: ['text_delta'], thinking: ['thinking_delta', 'signature_delta'], tool_use: ['input_json_delta'] };
function messages(bytes) {
	const events = eventsOf(bytes, true);
	const end = ending(events, (e) => e.name === 'message_stop', (e) => e.name === 'error');
	let state = 'before', kind, index = -1, called = false;
	for (const { name, data } of events) {
		assert.equal(data.type, name);
		if (name === 'ping') {
			assert.notEqual(state, 'before', 'a ping before message_start');
		} else if (name === 'message_start') {
			assert.equal(state, 'before');
			assert.match(data.message.id, /^msg_[A-Za-z0-9]{24}$/);
			assert.deepEqual([data.message.content, data.message.stop_reason, data.message.role], [[], null, 'assistant']);
			assert.ok(isCount(data.message.usage.input_tokens) && isCount(data.message.usage.output_tokens));
			state = 'between';
		} else if (name === 'content_block_start') {
			assert.equal(state, 'between', 'a block inside of another');
			assert.equal(data.index, ++index);
			kind = data.content_block.type;
			assert.ok(DELTAS[kind], kind);
			if (kind === 'tool_use') {
				assert.deepEqual(data.content_block.input, {});
				assert.ok(data.content_block.name && /^[A-Za-z0-9_-]+$/.test(data.content_block.id));
				called = true;
			} else {
				assert.equal(data.content_block[kind === 'text' ? 'text' : 'thinking'], '', 'a block begins empty');
			}
			state = 'inside';
		} else if (name === 'content_block_delta') {
			assert.deepEqual([state, data.index], ['inside', index]);
			assert.ok(DELTAS[kind].includes(data.delta.type), `${data.delta.type} in ${kind}`);
		} else if (name === 'content_block_stop') {
			assert.deepEqual([state, data.index], ['inside', index]);
			state = 'between';
		} else if (name === 'message_delta') {
			assert.equal(state, 'between');
			assert.ok(['end_turn', 'max_tokens', 'tool_use', 'stop_sequence', 'refusal'].includes(data.delta.stop_reason));
			assert.ok(data.delta.stop_reason !== 'tool_use' || called);
			for (const field of ['input_tokens', 'cache_creation_input_tokens', 'cache_read_input_tokens', 'output_tokens'])
				assert.ok(isCount(data.usage[field]), field);
			state = 'over';
		} else if (name === 'message_stop') {
			assert.equal(state, 'over');
		} else {
			assert.equal(name, 'error');
		}
	}
	assert.ok(!end.error || state !== 'over', 'an error behind the end');
	return end;
}

export const rules = { chat, completions, messages };
