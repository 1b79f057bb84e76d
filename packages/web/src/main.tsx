import "./style.css";
import { QueryCache, QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { problemOf } from "./api/problem.ts";
import { NoticesProvider } from "./app/notices.tsx";
import { router } from "./app/router.tsx";
import { SignInGate } from "./sign-in/gate.tsx";

const client: QueryClient = new QueryClient({
  queryCache: new QueryCache({
    onError(error, query) {
      // The session ended while somebody looked: ask who that is, which shows the way in, at the same address.
      if (problemOf(error).isSignedOut && query.queryKey[0] !== "caller") void client.invalidateQueries({ queryKey: ["caller"] });
    },
  }),
  defaultOptions: {
    queries: {
      staleTime: 1_000,
      retry: (failures, error) => problemOf(error).isAway && failures < 60,
      retryDelay: (failures) => Math.min(5_000, 300 * 2 ** failures),
      refetchOnWindowFocus: true,
    },
  },
});

const place = document.getElementById("root");
if (place === null) throw new Error("index.html without a place for the page");
createRoot(place).render(
  <StrictMode>
    <QueryClientProvider client={client}>
      <NoticesProvider>
        <SignInGate>
          <RouterProvider router={router} />
        </SignInGate>
      </NoticesProvider>
    </QueryClientProvider>
  </StrictMode>,
);
