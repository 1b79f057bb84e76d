import { type UseMutationResult, useMutation, useQueryClient } from "@tanstack/react-query";
import { Overtaken } from "../api/overtaken.ts";
import { useNotices } from "./notices.tsx";

interface ActOptions<Answer> {
  /** What is said when it is done; nothing when it is undefined. */
  readonly done?: (answer: Answer) => string | undefined;
  readonly onDone?: (answer: Answer) => void;
  /** First words of the query keys that it makes old at once; the event stream does the rest. */
  readonly touches: readonly string[];
}

/** An act of the viewer: runs once, tells what became of it. */
export function useAct<Input, Answer>(
  run: (input: Input) => Promise<Answer>,
  { done, onDone, touches }: ActOptions<Answer>,
): UseMutationResult<Answer, unknown, Input> {
  const client = useQueryClient();
  const notices = useNotices();
  return useMutation({
    mutationFn: run,
    onSuccess(answer) {
      const text = done?.(answer);
      if (text !== undefined) notices.say(text);
      onDone?.(answer);
    },
    onError(error) {
      if (!(error instanceof Overtaken)) notices.refuse(error);
    },
    onSettled: () => Promise.all(touches.map((noun) => client.invalidateQueries({ queryKey: [noun] }))),
  });
}
