import { parentPort, workerData } from 'node:worker_threads'
import { makeArgsValidator } from '../args.ts'
import { planTools } from './plan-tools.ts'
import { readDocument } from './read-document.ts'

// The thread that `planInThread` starts: reads one document, says what becomes of it, and ends.

const { openapi, options } = workerData
const read = readDocument(openapi)
const plan =
  read.kind === 'refused'
    ? read
    : planTools(read, { ...options, compile: makeArgsValidator().compile })
// As texts: objects would all be made at once there, and thousands of schemas hold up whatever else is to be done.
parentPort?.postMessage(
  plan.kind === 'refused'
    ? plan
    : { ...plan, verdicts: plan.verdicts.map((verdict) => JSON.stringify(verdict)) },
)
