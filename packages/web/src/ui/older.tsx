import { Button } from "./button.tsx";

interface Props {
  readonly list: { readonly hasNextPage: boolean; readonly isFetchingNextPage: boolean; fetchNextPage(): Promise<unknown> };
  /** "Older moves" */
  readonly text: string;
}

/** The foot of a list that is read page by page; nothing where there is no more. */
export function Older({ list: { hasNextPage, isFetchingNextPage, fetchNextPage }, text }: Props) {
  if (!hasNextPage) return null;
  return (
    <div className="border-t border-line p-3 text-center">
      <Button onClick={() => void fetchNextPage()} isBusy={isFetchingNextPage}>
        {text}
      </Button>
    </div>
  );
}
