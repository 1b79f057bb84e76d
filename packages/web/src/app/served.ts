// The places that this control plane serves: found out by asking for one row, once, without loading what those pages need.
import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { type Place, places } from "./places.ts";

type Need = NonNullable<Place["needs"]>;
const probes: Readonly<Record<Need, string>> = { risk: "/api/v2/risk?page.page_size=1", savings: "/api/v2/savings?hours=1" };

export function useServedPlaces() {
  const { data } = useQuery({
    queryKey: ["served"],
    queryFn: async ({ signal }) => {
      const found = await Promise.all(
        Object.entries(probes).map(async ([need, path]) => ((await fetch(path, { signal })).status === 404 ? [] : [need])),
      );
      return found.flat();
    },
    staleTime: Number.POSITIVE_INFINITY,
  });
  return useMemo(() => places.filter((place) => !("needs" in place) || data?.includes(place.needs) === true), [data]);
}
