//! Create, get, list, update and delete: the nine services bound to the one implementation of them.

use crate::admin::{Admin, Made, made};
use crate::listing::{ListQuery, Page};
use crate::operator::Caller;
use proto::admin::v1;
use tonic::{Request, Response, Status};

macro_rules! serve {
    (
        $server:ident::$service:ident of $kind:ident
        create $create:ident($create_request:ident { $one:ident }) -> $created:ident by $shown:ident
        get $get:ident($get_request:ident)
        list $list:ident($list_request:ident) -> $list_response:ident { $many:ident }
        update $update:ident($update_request:ident)
        delete $delete:ident($delete_request:ident)
        $(also { $($also:tt)* })?
    ) => {
        #[tonic::async_trait]
        impl v1::$server::$service for Admin {
            async fn $create(
                &self,
                request: Request<v1::$create_request>,
            ) -> Result<Response<v1::$created>, Status> {
                let (caller, request) = (Caller::of(&request)?, request.into_inner());
                let call = self.authority.call(
                    caller,
                    &request.request_id,
                    request.validate_only,
                    &request,
                )?;
                let answer = |changed| Ok($shown(made(changed)?));
                Ok(Response::new(self.create(call, request.$one, answer).await?))
            }

            async fn $get(
                &self,
                request: Request<v1::$get_request>,
            ) -> Result<Response<v1::$kind>, Status> {
                let caller = Caller::of(&request)?;
                Ok(Response::new(self.get(&caller, &request.into_inner().name).await?))
            }

            async fn $list(
                &self,
                request: Request<v1::$list_request>,
            ) -> Result<Response<v1::$list_response>, Status> {
                let caller = Caller::of(&request)?;
                let v1::$list_request { page_size, page_token, filter, order_by } =
                    request.into_inner();
                let query = ListQuery { page_size, page_token, filter, order_by };
                let Page { items: $many, next_page_token } = self.list(&caller, query).await?;
                Ok(Response::new(v1::$list_response { $many, next_page_token }))
            }

            async fn $update(
                &self,
                request: Request<v1::$update_request>,
            ) -> Result<Response<v1::$kind>, Status> {
                let (caller, request) = (Caller::of(&request)?, request.into_inner());
                let call = self.authority.call(
                    caller,
                    &request.request_id,
                    request.validate_only,
                    &request,
                )?;
                Ok(Response::new(self.update(call, request.$one, request.update_mask).await?))
            }

            async fn $delete(
                &self,
                request: Request<v1::$delete_request>,
            ) -> Result<Response<()>, Status> {
                let (caller, request) = (Caller::of(&request)?, request.into_inner());
                let call = self.authority.call(
                    caller,
                    &request.request_id,
                    request.validate_only,
                    &request,
                )?;
                let v1::$delete_request { name, etag, .. } = request;
                let kind = <v1::$kind as crate::resource::Resource>::KIND;
                Ok(Response::new(self.delete(call, kind, name, etag).await?))
            }

            $($($also)*)?
        }
    };
}

serve! {
    entity_service_server::EntityService of Entity
    create create_entity(CreateEntityRequest { entity }) -> Entity by as_stored
    get get_entity(GetEntityRequest)
    list list_entities(ListEntitiesRequest) -> ListEntitiesResponse { entities }
    update update_entity(UpdateEntityRequest)
    delete delete_entity(DeleteEntityRequest)
}

serve! {
    plan_service_server::PlanService of Plan
    create create_plan(CreatePlanRequest { plan }) -> Plan by as_stored
    get get_plan(GetPlanRequest)
    list list_plans(ListPlansRequest) -> ListPlansResponse { plans }
    update update_plan(UpdatePlanRequest)
    delete delete_plan(DeletePlanRequest)
}

serve! {
    upstream_service_server::UpstreamService of Upstream
    create create_upstream(CreateUpstreamRequest { upstream }) -> Upstream by as_stored
    get get_upstream(GetUpstreamRequest)
    list list_upstreams(ListUpstreamsRequest) -> ListUpstreamsResponse { upstreams }
    update update_upstream(UpdateUpstreamRequest)
    delete delete_upstream(DeleteUpstreamRequest)
}

serve! {
    model_service_server::ModelService of Model
    create create_model(CreateModelRequest { model }) -> Model by as_stored
    get get_model(GetModelRequest)
    list list_models(ListModelsRequest) -> ListModelsResponse { models }
    update update_model(UpdateModelRequest)
    delete delete_model(DeleteModelRequest)
}

serve! {
    price_book_service_server::PriceBookService of PriceBook
    create create_price_book(CreatePriceBookRequest { price_book }) -> PriceBook by as_stored
    get get_price_book(GetPriceBookRequest)
    list list_price_books(ListPriceBooksRequest) -> ListPriceBooksResponse { price_books }
    update update_price_book(UpdatePriceBookRequest)
    delete delete_price_book(DeletePriceBookRequest)
}

serve! {
    markup_rule_service_server::MarkupRuleService of MarkupRule
    create create_markup_rule(CreateMarkupRuleRequest { markup_rule }) -> MarkupRule by as_stored
    get get_markup_rule(GetMarkupRuleRequest)
    list list_markup_rules(ListMarkupRulesRequest) -> ListMarkupRulesResponse { markup_rules }
    update update_markup_rule(UpdateMarkupRuleRequest)
    delete delete_markup_rule(DeleteMarkupRuleRequest)
}

serve! {
    fx_rate_service_server::FxRateService of FxRate
    create create_fx_rate(CreateFxRateRequest { fx_rate }) -> FxRate by as_stored
    get get_fx_rate(GetFxRateRequest)
    list list_fx_rates(ListFxRatesRequest) -> ListFxRatesResponse { fx_rates }
    update update_fx_rate(UpdateFxRateRequest)
    delete delete_fx_rate(DeleteFxRateRequest)
}

serve! {
    org_service_server::OrgService of Org
    create create_org(CreateOrgRequest { org }) -> Org by as_stored
    get get_org(GetOrgRequest)
    list list_orgs(ListOrgsRequest) -> ListOrgsResponse { orgs }
    update update_org(UpdateOrgRequest)
    delete delete_org(DeleteOrgRequest)
}

serve! {
    key_service_server::KeyService of Key
    create create_key(CreateKeyRequest { key }) -> CreateKeyResponse by with_secret
    get get_key(GetKeyRequest)
    list list_keys(ListKeysRequest) -> ListKeysResponse { keys }
    update update_key(UpdateKeyRequest)
    delete delete_key(DeleteKeyRequest)
    also {
        async fn import_keys(
            &self,
            request: Request<v1::ImportKeysRequest>,
        ) -> Result<Response<v1::ImportKeysResponse>, Status> {
            let (caller, request) = (Caller::of(&request)?, request.into_inner());
            let call =
                self.authority.call(caller, &request.request_id, request.validate_only, &request)?;
            Ok(Response::new(self.import(call, request.keys).await?))
        }

        async fn rotate_key(
            &self,
            request: Request<v1::RotateKeyRequest>,
        ) -> Result<Response<v1::RotateKeyResponse>, Status> {
            let (caller, request) = (Caller::of(&request)?, request.into_inner());
            let call =
                self.authority.call(caller, &request.request_id, request.validate_only, &request)?;
            Ok(Response::new(self.rotate(call, request).await?))
        }
    }
}

fn as_stored<R>(made: Made<R>) -> R {
    made.message
}

/// The only answer with a secret; it is empty when the key was only tried.
pub(crate) fn with_secret(made: Made<v1::Key>) -> v1::CreateKeyResponse {
    let secret = made.secret.map(|secret| secret.expose().to_owned());
    v1::CreateKeyResponse { key: Some(made.message), secret: secret.unwrap_or_default() }
}
