"""From radiograph to answer, in this order: gate, localization, age network, similar cases."""
